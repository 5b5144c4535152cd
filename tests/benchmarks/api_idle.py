"""What open answers take of the API process: sockets that nobody speaks on, streams of a run that waits."""

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.bench import Bench
from tests.support.api import Api, TenantKey, say
from tests.support.run import ROOT

# What the first ones bring in (code, pools) is not theirs.
_WARM_UP = 100


def measure_idle_sockets(bench: Bench, api: Api, tenant: TenantKey) -> None:
    """The process's memory before and while so many sockets are open, for each of them."""
    kb = _each(api, tenant, "/v1/graph/ws", bench.sizes.idle)
    bench.report.add(
        "api.idle.socket", f"memory of an open idle socket, {bench.sizes.idle} at once", "KB", [kb]
    )


def measure_idle_streams(bench: Bench, api: Api, tenant: TenantKey) -> None:
    """The same of server-sent events: of a run that waits."""
    with api.client(tenant) as client:
        body = say("hello", None) | {"after_s": 3600}
        run = client.post("/v1/threads/idle/runs", json=body).raise_for_status().json()["data"]["run"]
    kb = _each(api, tenant, f"/v1/threads/idle/runs/{run['run_id']}/stream", bench.sizes.idle)
    bench.report.add(
        "api.idle.stream", f"memory of an open idle stream, {bench.sizes.idle} at once", "KB", [kb]
    )


def _each(api: Api, tenant: TenantKey, path: str, count: int) -> float:
    with _opened(api, tenant, path, _WARM_UP):
        pass
    before = _resident(api)
    with _opened(api, tenant, path, count):
        return (_resident(api) - before) / count / 1000


class _opened:  # noqa: N801 - used as a block
    """So many connections, held by a process of their own."""

    def __init__(self, api: Api, tenant: TenantKey, path: str, count: int) -> None:
        words = [str(api.port), tenant.key, path, str(count)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.idle_connections", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "open\n":
            raise RuntimeError("the connections could not be opened")

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its pipes, which ends it, and waits
            pass


def _resident(api: Api) -> int:
    """Bytes of the process that serves."""
    pages = Path(f"/proc/{api.serving_pid}/statm").read_text().split()[1]
    return int(pages) * 4096
