"""Runs that do not simply end: failing, paused, endless, stopped with their process."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support import databases
from tests.support.agents import AGENTS, SECRET, pipes
from tests.support.api import Api, last_text, running_api, say
from tests.support.run import ROOT


@pytest.fixture
def own_api(migrated_database_url: str, redis_url: str) -> Iterator[Api]:
    """An API that hosts the tests' agents."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_AGENTS=AGENTS, PYTHONPATH=str(ROOT)) as api:
        yield api


@pytest.fixture
def client(own_api: Api) -> Iterator[httpx.Client]:
    with own_api.client(own_api.tenant()) as client:
        yield client


def run(client: httpx.Client, agent: str, body: dict[str, Any]) -> httpx.Response:
    return client.post(f"/a/{agent}/v1/graph/invoke", json=body)


def test_a_failing_node_tells_nothing_of_the_inside(client: httpx.Client) -> None:
    """500 with a NODE code; neither the answer nor the stored state quotes the exception."""
    response = run(client, "breaks", say("hi"))
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "NODE_EXECUTION"
    assert "RuntimeError" in response.json()["error"]["message"]
    state = client.get("/v1/threads/t/state")
    assert state.json()["data"]["state"]["execution_meta"]["status"] == "error"
    assert [message["role"] for message in state.json()["data"]["state"]["context"]] == ["user"]
    assert SECRET not in response.text + state.text
    assert "Traceback" not in response.text


def test_a_node_that_would_end_the_process(client: httpx.Client) -> None:
    """`sys.exit()` fails the node; whoever else is served here does not notice."""
    response = run(client, "quits", say("hi"))
    assert (response.status_code, response.json()["error"]["code"]) == (500, "NODE_EXECUTION")
    assert run(client, "echo", say("hi", "other")).status_code == 200


def test_infinity_from_a_node_is_never_stored(client: httpx.Client) -> None:
    """The node's error and not the caller's; what was stored before stays, and every answer is valid JSON."""
    response = run(client, "infinite", say("hi"))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (500, "NODE_ENCODING")
    assert "'MAIN'" in error["message"]
    assert "'context'" in error["message"]
    assert len(client.get("/v1/threads/t/messages").json()["data"]["messages"]) == 1


def test_a_loop_ends_at_the_limit(client: httpx.Client) -> None:
    """With the code clients look for."""
    response = run(client, "loops", say("hi", recursion_limit=3))
    assert response.status_code == 500
    assert response.json()["error"]["code"].startswith("GRAPH_RECURSION")


def test_an_interrupt_is_answered(client: httpx.Client) -> None:
    """The run pauses with its question, is resumed once, and then there is nothing to resume."""
    paused = run(client, "asks", say("hi", response_granularity="full")).json()["data"]["state"]
    assert paused["execution_meta"]["status"] == "interrupted_before"
    assert paused["execution_meta"]["interrupt_data"]["interrupts"][0]["value"] == {"question": "really?"}
    answer = {"messages": [], "resume": "yes", "config": {"thread_id": "t"}}
    assert last_text(run(client, "asks", answer)) == "you said yes"
    again = run(client, "asks", answer)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "NOTHING_TO_RESUME")


def test_the_same_thread_from_many_sides(client: httpx.Client) -> None:
    """No message is lost or doubled."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: run(client, "echo", say(f"message {i}")), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["data"]["meta"]["is_new_thread"] for answer in answers) == 1
    stored = client.get("/v1/threads/t/messages").json()["data"]["messages"]
    texts = [message["content"][0]["text"] for message in stored]
    assert sorted(texts[0::2]) == sorted(f"message {i}" for i in range(24))
    assert texts[1::2] == [f"echo: {text}" for text in texts[0::2]]


def test_sigterm_lets_runs_reach_their_next_node(own_api: Api, client: httpx.Client, tmp_path: Path) -> None:
    """The run stops there, durable, its client is answered, and after a restart it goes on."""
    running, go = pipes(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(run, client, "waits", say(f"{running}|{go}", response_granularity="full"))
        assert running.read_text() == "running"
        ending = pool.submit(own_api.stop)
        _until_stop_is_requested(own_api)
        go.write_text("go")
        state = answer.result().json()["data"]["state"]
        assert ending.result() == 0
    assert state["execution_meta"]["status"] == "interrupted_after"
    assert state["execution_meta"]["interrupt_reason"] == "stop_requested"
    assert [message["content"][0]["text"] for message in state["context"]][1:] == ["first"]
    own_api.start()
    resumed = run(client, "waits", {"messages": [], "resume": None, "config": {"thread_id": "t"}})
    assert last_text(resumed) == "second"


def _until_stop_is_requested(api: Api) -> None:
    """Somebody else's process changes it, so there is nothing to wait for but the row."""

    async def look() -> None:
        connection = await asyncpg.connect(api.database_url.replace("+asyncpg", "", 1))
        try:
            while not await connection.fetchval(  # noqa: ASYNC110 - no event crosses processes
                "SELECT stop_requested FROM agentflow_threads"
            ):
                await asyncio.sleep(0.02)
        finally:
            await connection.close()

    databases.run(asyncio.wait_for(look(), 30))
