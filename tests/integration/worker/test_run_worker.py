"""Runs carried out by worker processes that are stopped, killed and replaced."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import NewRun, RunRecord
from agentflow_tenancy import Tenant, TenantRepository
from tests.support import databases
from tests.support.waiting import soon
from tests.support.webhook_server import webhook_server

type Start = Callable[..., "subprocess.Popen[str]"]

WITHIN_S = 60.0


class Runs:
    """The runs of one tenant, as the API would make and see them."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._tenant: Tenant = databases.run(self._with(self._new_tenant))

    async def _with(self, work: Callable[[Any], Any]) -> Any:
        engine = create_async_engine(self._url)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    async def _new_tenant(self, engine: Any) -> Tenant:
        return await TenantRepository(engine).create_tenant(f"t-{uuid.uuid4().hex[:12]}")

    def ask(self, agent: str, thread: str = "t", **more: Any) -> RunRecord:
        """A run that waits."""
        tenant = self._tenant
        message = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
        new = NewRun(
            tenant.tenant_id, uuid.uuid4(), f"tenant-{tenant.slug}:{thread}", None, "key", agent,
            {"messages": [message]}, **more,
        )  # fmt: skip
        found = databases.run(self._with(lambda engine: RunRepository(engine).create(new)))
        assert found is not None
        run: RunRecord = found[0]
        return run

    def get(self, run: RunRecord) -> RunRecord:
        """As it stands."""
        found = databases.run(self._with(lambda engine: RunRepository(engine).get(run.tenant_id, run.run_id)))
        assert found is not None
        now: RunRecord = found
        return now

    def said(self, run: RunRecord) -> str:
        """Everything it said."""
        chunks = databases.run(
            self._with(lambda engine: RunRepository(engine).chunks(run.tenant_id, run.run_id))
        )
        return "\n".join(chunk.body for chunk in chunks)

    def ended(self, run: RunRecord) -> RunRecord:
        """Once it is over."""
        soon(lambda: self.get(run).is_over, WITHIN_S)
        return self.get(run)


@pytest.fixture
def runs(migrated_database_url: str) -> Runs:
    return Runs(migrated_database_url)


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


@pytest.fixture
def start(migrated_database_url: str, redis_url: str, go: Path) -> Iterator[Start]:
    """Starts workers, and ends what is left of them."""
    started: list[subprocess.Popen[str]] = []

    def begin(**more: str) -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTFLOW_")}
        environment = kept | {
            "AGENTFLOW_OPERATIONS_DATABASE_URL": migrated_database_url,
            "AGENTFLOW_DATABASE_URL": databases.app_url(migrated_database_url),
            "AGENTFLOW_REDIS_URL": redis_url,
            "AGENTFLOW_KEY_PEPPER": "p" * 32,
            "AGENTFLOW_AGENTS": "echo=agentflow_hosting.agents.echo:graph,"
            "held=tests.support.held_agent:graph",
            "AGENTFLOW_TEST_GO": str(go),
            **more,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "agentflow_worker"], env=environment, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def end(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    return said


def test_a_run_is_carried_out(start: Start, runs: Runs) -> None:
    """By the agent of that name; the worker ends in order, without a trace."""
    worker = start()
    asked = runs.ask("echo")
    ended = runs.ended(asked)
    assert (ended.status, ended.attempts, ended.error) == ("success", 1, None)
    assert "echo: hi" in runs.said(asked)
    assert "Traceback" not in end(worker)


@pytest.mark.slow
def test_a_killed_worker(start: Start, runs: Runs, go: Path) -> None:
    """Another one goes on within 15 s: with the step that was under way, not with the one that was done."""
    first = start()
    asked = runs.ask("held")
    soon(lambda: '"first"' in runs.said(asked), WITHIN_S)
    second = start()
    first.kill()
    killed_at = time.monotonic()
    soon(lambda: runs.get(asked).attempts == 2, WITHIN_S)
    assert time.monotonic() - killed_at < 15
    go.touch()
    ended = runs.ended(asked)
    assert (ended.status, ended.crashes) == ("success", 1)
    said = runs.said(asked)
    assert '"second"' in said
    end(second)


@pytest.mark.slow
def test_a_stopped_worker(start: Start, runs: Runs, go: Path) -> None:
    """What it was at is put back, and waits for the next one."""
    first = start()
    asked = runs.ask("held")
    soon(lambda: '"first"' in runs.said(asked), WITHIN_S)
    end(first)
    waiting = runs.get(asked)
    assert (waiting.status, waiting.attempts) == ("pending", 1)
    go.touch()
    second = start()
    ended = runs.ended(asked)
    assert (ended.status, ended.attempts, ended.crashes) == ("success", 2, 0)
    end(second)


@pytest.mark.slow
def test_a_worker_killed_while_it_tells(start: Start, runs: Runs) -> None:
    """Another one tells once more, under the same id; then it is told."""
    allowed = {"AGENTFLOW_ALLOW_PRIVATE_WEBHOOKS": "true"}
    with webhook_server() as server:
        server.go_on.clear()
        first = start(**allowed)
        asked = runs.ask("echo", webhook=server.url)
        before = server.called()
        second = start(**allowed)
        first.kill()
        after = server.called()
        server.go_on.set()
        soon(lambda: runs.get(asked).webhook_delivered_at is not None, WITHIN_S)
        assert before.headers["webhook-id"] == after.headers["webhook-id"] == str(asked.run_id)
        assert before.body == after.body
        said = end(second)
        assert server.url not in said
        assert "whsec_" not in said


def test_what_cannot_be_kept(start: Start, runs: Runs, migrated_database_url: str) -> None:
    """A run whose words the database refuses fails; it does not succeed without them."""

    async def refuse() -> None:
        connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
        try:
            await connection.execute("REVOKE INSERT ON agentflow_run_chunks FROM agentflow_app")
        finally:
            await connection.close()

    databases.run(refuse())
    worker = start()
    ended = runs.ended(runs.ask("echo"))
    assert (ended.status, ended.chunks) == ("error", 0)
    end(worker)


def test_a_worker_without_agents(start: Start, runs: Runs) -> None:
    """Carries out no runs, and does the rest."""
    worker = start(AGENTFLOW_DATABASE_URL="", AGENTFLOW_KEY_PEPPER="", AGENTFLOW_RETENTION_DAYS="1")
    asked = runs.ask("echo")
    assert worker.stderr is not None
    assert any("The worker runs." in line for line in worker.stderr)
    end(worker)
    assert runs.get(asked).status == "pending"


def test_runs_are_forgotten(start: Start, runs: Runs) -> None:
    """What they said first; as the settings have it."""
    worker = start(AGENTFLOW_SWEEP_EVERY_S="0.1", AGENTFLOW_KEEP_CHUNKS_S="0.001")
    asked = runs.ask("echo")
    ended = runs.ended(asked)
    assert ended.chunks > 0
    soon(lambda: runs.said(asked) == "", WITHIN_S)
    assert runs.get(asked).status == "success"
    end(worker)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AGENTFLOW_KEY_PEPPER": "short"}, "AGENTFLOW_KEY_PEPPER must have at least 32"),
        ({"AGENTFLOW_AGENTS": "echo"}, "AGENTFLOW_AGENTS: 'echo'"),
        ({"AGENTFLOW_RUNS_AT_ONCE": "0"}, "AGENTFLOW_RUNS_AT_ONCE must be a whole number"),
    ],
)
def test_wrong_settings_are_told(start: Start, environment: dict[str, str], words: str) -> None:
    """By name, with what to write."""
    worker = start(**environment)
    said = worker.communicate(timeout=60)[1]
    assert worker.returncode == 1
    assert words in said
    assert "Traceback" not in said


def test_a_login_that_sees_too_much(start: Start, migrated_database_url: str) -> None:
    """Agents are not run by it."""
    worker = start(AGENTFLOW_DATABASE_URL=migrated_database_url)
    said = worker.communicate(timeout=60)[1]
    assert worker.returncode == 1
    assert "AGENTFLOW_DATABASE_URL must name a login" in said
