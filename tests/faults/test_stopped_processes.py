"""Processes that stand still for longer than their leases and then go on: a sleep, a frozen disk."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support import databases
from tests.support.agents import AGENTS, pipes
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.run import ROOT
from tests.support.waiting import soon
from tests.support.worker import running_worker

pytestmark = pytest.mark.slow

WITHIN_S = 60.0
HOSTS = {"AGENTFLOW_AGENTS": AGENTS, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def agents_api(migrated_database_url: str, redis_url: str) -> Iterator[Api]:
    with running_api(migrated_database_url, redis_url, **HOSTS) as api:
        yield api


@pytest.fixture
def mine(agents_api: Api) -> TenantKey:
    return agents_api.tenant()


@pytest.fixture
def client(agents_api: Api, mine: TenantKey) -> Iterator[httpx.Client]:
    with agents_api.client(mine) as client:
        yield client


def worker(api: Api, redis_url: str) -> AbstractContextManager[Any]:
    url, pepper = databases.app_url(api.database_url), api.pepper
    return running_worker(
        api.database_url, redis_url, AGENTFLOW_DATABASE_URL=url, AGENTFLOW_KEY_PEPPER=pepper, **HOSTS
    )


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """A process, for the length of a block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def let_go(heard: Path) -> bool:
    """Write to whoever waits on a pipe; False while nobody does. One that stood still waits anew."""
    try:
        pipe = os.open(heard, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(pipe, "w") as writer:
        writer.write("go")
    return True


def ended(client: httpx.Client, run_id: str) -> Any:
    path = f"/v1/threads/t/runs/{run_id}"
    soon(lambda: client.get(path).json()["data"]["run"]["finished_at"], WITHIN_S)
    return client.get(path).json()["data"]["run"]


def said_on_thread(client: httpx.Client) -> list[str]:
    rows = client.get("/v1/threads/t/messages").json()["data"]["messages"]
    return [row["content"][0]["text"] for row in rows]


def test_a_worker_is_late(agents_api: Api, client: httpx.Client, redis_url: str, tmp_path: Path) -> None:
    """Another one has carried its run out meanwhile: what it wants to write is refused, and it lives."""
    said, heard = pipes(tmp_path)
    text = f"{said}|{heard}"
    with worker(agents_api, redis_url) as first:
        run = client.post("/a/waits/v1/threads/t/runs", json=say(text, None)).json()["data"]["run"]
        assert said.read_text() == "running"
        with standing_still(first.pid), worker(agents_api, redis_url):
            assert said.read_text() == "running"  # by the other one
            heard.write_text("go")
            assert ended(client, run["run_id"])["status"] == "success"
            before = said_on_thread(client)
        soon(lambda: let_go(heard), WITHIN_S)
        # It is alone now, and has work to do behind what it was late with.
        queued = client.post("/a/echo/v1/threads/t/runs", json=say("again", None)).json()["data"]["run"]
        assert ended(client, queued["run_id"])["status"] == "success"
    assert before == [text, "first", "second"]
    assert said_on_thread(client)[:4] == [*before, "again"]
    assert ended(client, run["run_id"])["attempts"] == 2


def test_an_api_is_late(agents_api: Api, client: httpx.Client, redis_url: str, tmp_path: Path) -> None:
    """A worker has gone on with its stream meanwhile; whoever reads it gets each chunk once, in order."""
    said, heard = pipes(tmp_path)
    text = f"{said}|{heard}"

    def read() -> list[Any]:
        with client.stream("POST", "/a/waits/v1/graph/stream", json=say(text, "t")) as answer:
            assert answer.status_code == 200
            return [json.loads(line) for line in answer.iter_lines() if line]

    with worker(agents_api, redis_url), ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert said.read_text() == "running"
        with standing_still(agents_api.serving_pid):
            assert said.read_text() == "running"  # by the worker
            heard.write_text("go")
            soon(lambda: asked_finished(agents_api), WITHIN_S)
        # Where it learns first that the run is another's, its node is ended before it waits for the word.
        soon(lambda: reading.done() or let_go(heard), WITHIN_S)
        chunks = reading.result()
    texts = [chunk["message"]["content"][0]["text"] for chunk in chunks if chunk["event"] == "message"]
    assert texts == [text, "first", "second"]
    assert said_on_thread(client) == [text, "first", "second"]
    run = client.get("/v1/threads/t/runs").json()["data"]["runs"][0]
    assert (run["status"], run["attempts"]) == ("success", 2)
    again = client.get(f"/v1/threads/t/runs/{run['run_id']}/stream").text.splitlines()
    assert [json.loads(line) for line in again] == chunks


def asked_finished(api: Api) -> bool:
    """Asked of the database: the API stands still."""

    async def ask() -> bool:
        connection = await asyncpg.connect(api.database_url.replace("+asyncpg", "", 1))
        try:
            found = await connection.fetchval(
                "SELECT count(*) FROM agentflow_runs WHERE finished_at IS NOT NULL"
            )
            return bool(found)
        finally:
            await connection.close()

    return bool(databases.run(ask()))
