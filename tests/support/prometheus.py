"""A real Prometheus, and promtool beside it, as Debian packages them."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.api import READY_WITHIN_S, free_port
from tests.support.run import ROOT
from tests.support.waiting import soon

SHIPPED = ROOT / "infra" / "prometheus"


def program(name: str) -> str:
    """Where it is. CI has it; elsewhere tests that need it are skipped, and say how to get it."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is missing: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def promtool(*arguments: str) -> None:
    """Run it in the folder of the rules; what it does not like is the failure's text."""
    done = subprocess.run(
        [program("promtool"), *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """A server that scrapes; asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=READY_WITHIN_S)

    def ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """What it answers at /api/v1; a query that it does not understand is the failure's text."""
        answer = self._client.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", f"{answer['error']} ({parameters})"
        return answer["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """The series of an expression, now: labels and value."""
        found = self.get("query", query=expr)["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def exemplars(self, expr: str) -> list[dict[str, str]]:
        """The labels of the traces that stand for the series of an expression, of the last minutes."""
        now = time.time()
        found = self.get("query_exemplars", query=expr, start=str(now - 600), end=str(now))
        return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]

    def close(self) -> None:
        self._client.close()


@contextmanager
def running_prometheus(folder: Path, token: str, targets: Mapping[str, int]) -> Iterator[Prometheus]:
    """The shipped configuration, but for where targets are and how often they are asked.

    Args:
        folder: Empty.
        token: The operator's.
        targets: Ports of this machine by the names of jobs; other jobs have none here.
    """
    port = free_port()
    (folder / "token").write_text(token)
    (folder / "alerts.yml").write_text((SHIPPED / "alerts.yml").read_text())
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(folder, targets)))
    process = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ],
    )
    server = Prometheus(port)
    try:
        soon(server.ready, READY_WITHIN_S)
        yield server
    finally:
        server.close()
        process.terminate()
        process.wait(60)


def _configuration(folder: Path, targets: Mapping[str, int]) -> Any:
    configuration = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    jobs = [job for job in configuration["scrape_configs"] if job["job_name"] in targets]
    assert {job["job_name"] for job in jobs} == set(targets)
    for job in jobs:
        job["authorization"]["credentials_file"] = str(folder / "token")
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    return {**configuration, "scrape_configs": jobs}
