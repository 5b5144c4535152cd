"""Every block of Python, SQL and shell in the guide and the README, run in order as by a reader."""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.util._once import Once

from tests.support import databases
from tests.support.api import running_api
from tests.support.worker import running_worker

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("[0-9]*.md"))]
BLOCK = re.compile(r"^```(python|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
# The README's own shell block is run by test_make_run.py.
SHELL_PAGES = [page for page in PAGES[1:] if SHELL.search(page.read_text())]
# As the page on moves starts its service.
SMALL_LIMITS = {
    "AGENTFLOW_PROMOTE_THREADS": "12",
    "AGENTFLOW_PLAN_MOVES_EVERY_S": "1",
    "AGENTFLOW_MOVE_COOLDOWN_S": "0",
}
DATABASE_URL = "postgresql+asyncpg://agentflow:agentflow@localhost:5432/agentflow"
REDIS_URL = "redis://localhost:6379/0"
BASE_URL = "http://localhost:8000"
API_KEY = "af_live_your_key"


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    text = page.read_text()
    for match in BLOCK.finditer(text):
        yield match[1], match[2], text.count("\n", 0, match.start()) + 2


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that begins: whoever made an application here has set a provider for good."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


@pytest.mark.usefixtures("nobody_listens")
@pytest.mark.leaves_connections  # a page's program ends without closing, as short programs do
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(
    page: Path,
    database_url: str,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """Each block runs as it stands, with the addresses of this run's servers."""
    addresses = {DATABASE_URL: database_url, REDIS_URL: redis_url}
    if API_KEY in page.read_text():
        addresses |= {
            BASE_URL: request.getfixturevalue("api").base_url,
            API_KEY: request.getfixturevalue("tenant").key,
        }
    names: dict[str, Any] = {"__name__": "__main__"}
    ran = 0
    for kind, code, line in blocks(page):
        if kind == "python":
            source = code
            for written, real in addresses.items():
                source = source.replace(written, real)
            exec(compile("\n" * (line - 1) + source, str(page), "exec"), names)
        else:
            rows = asyncio.run(_query(database_url, code))
            if "AS orphans" in code:
                assert rows[0]["orphans"] == 0
            elif code.startswith("SELECT"):
                assert rows, f"{page.name}:{line} found nothing"
        ran += 1
    assert ran or page in SHELL_PAGES
    if page.name == "README.md":
        assert "You are Alex." in capsys.readouterr().out
    if "app" in names:
        names["app"].close()
    # What a page leaves open is this page's failure, not that of whoever runs when it is noticed.
    names.clear()
    gc.collect()


@pytest.mark.parametrize("page", SHELL_PAGES, ids=lambda page: page.name)
def test_shell_of_page(page: Path, migrated_database_url: str, redis_url: str, state_dir: Path) -> None:
    """Each block runs in one shell beside a service, and prints what stands below it; `...` is anything."""
    scripts, expected = zip(*SHELL.findall(page.read_text()), strict=True)
    mark = "=== end of block ==="
    script = "set -euo pipefail\n" + "".join(f"{script}echo '{mark}'\n" for script in scripts)
    private = {"AGENTFLOW_ALLOW_PRIVATE_WEBHOOKS": "true"}
    with (
        running_api(migrated_database_url, redis_url, **private) as api,
        running_worker(
            migrated_database_url,
            redis_url,
            AGENTFLOW_DATABASE_URL=databases.app_url(migrated_database_url),
            AGENTFLOW_KEY_PEPPER=api.pepper,
            AGENTFLOW_EXPORTS=str(api.exports),
            **private,
            **SMALL_LIMITS,
        ),
    ):
        servers = {"database_url": migrated_database_url, "redis_url": redis_url}
        dev = {"base_url": api.base_url, "operator_token": api.operator_token, **servers}
        (state_dir / "dev.json").write_text(json.dumps(dev))
        done = subprocess.run(
            ["bash", "-c", script],
            env=_reader(state_dir),
            cwd=state_dir,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split(mark + "\n")[:-1]
    for output, pattern in zip(printed, expected, strict=True):
        assert re.fullmatch(_like(pattern), output.strip(), re.DOTALL), output


def _reader(state_dir: Path) -> dict[str, str]:
    """The environment of somebody who started `make run`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AGENTFLOW_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**clean, "PATH": path, "AGENTFLOW_STATE_DIR": str(state_dir)}


def _like(pattern: str) -> str:
    return r"\s*.*?\s*".join(re.escape(part.strip()) for part in pattern.strip().split("..."))


async def _query(database_url: str, statement: str) -> Any:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


def test_links_lead_somewhere() -> None:
    """Every relative link of the docs names a file."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
