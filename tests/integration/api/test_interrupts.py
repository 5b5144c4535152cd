"""Interrupts over HTTP: seen on the thread, answered by id or by value, once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.support.agents import AGENTS
from tests.support.api import Api, running_api, say
from tests.support.run import ROOT

QUESTION = {"question": "really?"}


@pytest.fixture
def api(migrated_database_url: str, redis_url: str) -> Iterator[Api]:
    """An API that hosts the tests' agents."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_AGENTS=AGENTS, PYTHONPATH=str(ROOT)) as api:
        yield api


@pytest.fixture
def client(api: Api) -> Iterator[httpx.Client]:
    with api.client(api.tenant()) as client:
        yield client


def invoke(client: httpx.Client, agent: str, body: dict[str, Any]) -> httpx.Response:
    return client.post(f"/a/{agent}/v1/graph/invoke", json=body)


def resume(client: httpx.Client, agent: str, thread_id: str = "t", **given: Any) -> httpx.Response:
    body = {"messages": [], "config": {"thread_id": thread_id}, "response_granularity": "low", **given}
    return invoke(client, agent, body)


def thread(client: httpx.Client, thread_id: str = "t") -> dict[str, Any]:
    response = client.get(f"/v1/threads/{thread_id}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()["data"]["thread_data"]["thread"]
    [listed] = [
        one for one in client.get("/v1/threads").json()["data"]["threads"] if one["thread_id"] == thread_id
    ]
    assert listed["status"] == found["status"]
    return found


def refused(response: httpx.Response, status: int, code: str) -> str:
    """The message of an error."""
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    message: str = error["message"]
    return message


def test_interrupts_are_on_the_thread(client: httpx.Client) -> None:
    """Each with id, node, value, reason and time, as the answer of the run that paused tells them."""
    paused = invoke(client, "panel", say("hi"))
    found = thread(client)
    assert found["status"] == "interrupted"
    assert [one["node"] for one in found["interrupts"]] == ["LAW", "PRICE"]
    for one in found["interrupts"]:
        assert one.keys() == {"id", "node", "value", "reason", "created_at"}
        assert (one["value"], one["reason"]) == (QUESTION, "interrupt")
        assert datetime.fromisoformat(one["created_at"]).tzinfo is not None
    assert paused.json()["data"]["meta"]["interrupts"] == found["interrupts"]
    state = client.get("/v1/threads/t/state").json()["data"]["state"]
    assert state["execution_meta"]["interrupt_data"]["interrupts"] == found["interrupts"]


def test_some_are_answered_then_the_rest(client: httpx.Client) -> None:
    """What has no answer stays pending under its id; then the thread is idle."""
    invoke(client, "panel", say("hi"))
    law, price = thread(client)["interrupts"]
    message = refused(resume(client, "panel", resume="yes"), 422, "INTERRUPT_AMBIGUOUS")
    assert law["id"] in message
    assert price["id"] in message
    part = resume(client, "panel", resume={price["id"]: "no"})
    assert part.json()["data"]["meta"]["interrupts"] == [law] == thread(client)["interrupts"]
    for late in ({"resume": {price["id"]: "no"}}, {"resume": "no", "resume_id": price["id"]}):
        assert law["id"] in refused(resume(client, "panel", **late), 409, "INTERRUPT_ALREADY_ANSWERED")
    body = {"messages": [], "resume": {price["id"]: "no"}, "config": {"thread_id": "t"}}
    refused(client.post("/a/panel/v1/graph/stream", json=body), 409, "INTERRUPT_ALREADY_ANSWERED")
    done = resume(client, "panel", resume="yes", resume_id=law["id"]).json()["data"]
    assert [message["content"][0]["text"] for message in done["messages"]] == ["you said yes", "you said no"]
    assert done["meta"].keys() == {"is_new_thread", "thread_id"}
    assert (thread(client)["status"], thread(client)["interrupts"]) == ("idle", [])


def test_many_clicks_at_once(client: httpx.Client) -> None:
    """One counts; the others are told, by a code of their own."""
    with ThreadPoolExecutor(8) as pool:
        for i in range(10):
            invoke(client, "asks", say("hi", f"t{i}"))
            [waits] = thread(client, f"t{i}")["interrupts"]

            def click(j: int, name: str = f"t{i}", one: str = waits["id"]) -> httpx.Response:
                return resume(client, "asks", name, resume={one: j})

            answers = list(pool.map(click, range(8)))
            late = [answer for answer in answers if answer.status_code != 200]
            assert len(late) == 7
            for answer in late:
                refused(answer, 409, "INTERRUPT_ALREADY_ANSWERED")
            assert len(client.get(f"/v1/threads/t{i}/messages").json()["data"]["messages"]) == 2


def test_nothing_waits(client: httpx.Client) -> None:
    """On a thread that is idle or not there; nothing is made by it."""
    unknown = "int_" + "0" * 32
    for _ in range(2):
        refused(resume(client, "asks", resume="yes"), 409, "NOTHING_TO_RESUME")
        refused(resume(client, "asks", resume={unknown: 1}), 409, "INTERRUPT_NOT_PENDING")
        refused(resume(client, "asks", resume_id="\U0001f44d / ? # \0"), 409, "INTERRUPT_NOT_PENDING")
    assert client.get("/v1/threads/t").status_code == 404
    for bad in ("", 7, ["x"]):
        refused(resume(client, "asks", resume=1, resume_id=bad), 422, "VALIDATION_ERROR")
    half_a_character = b'{"messages": [], "resume": 1, "resume_id": "\\ud800", "config": {"thread_id": "t"}}'
    answer = client.post("/a/asks/v1/graph/invoke", content=half_a_character)
    assert answer.status_code in (400, 409, 422), answer.text


def test_another_tenants_interrupt(api: Api, client: httpx.Client) -> None:
    """Its id is of no use, and the answer is that of an id nobody ever had."""
    invoke(client, "asks", say("hi"))
    [waits] = thread(client)["interrupts"]
    with api.client(api.tenant()) as other:
        message = refused(resume(other, "asks", resume={waits["id"]: 1}), 409, "INTERRUPT_NOT_PENDING")
        unknown = resume(other, "asks", resume={"int_" + "0" * 32: 1})
        assert refused(unknown, 409, "INTERRUPT_NOT_PENDING") == message
        assert other.get("/v1/threads/t").status_code == 404
    assert thread(client)["interrupts"] == [waits]


def test_a_failed_run_says_so(client: httpx.Client) -> None:
    """`error`, with nothing to answer."""
    invoke(client, "breaks", say("hi"))
    assert (thread(client)["status"], thread(client)["interrupts"]) == ("error", [])


def found(client: httpx.Client, **wanted: Any) -> list[str]:
    """The ids of a search's threads, page after page."""
    ids: list[str] = []
    place: dict[str, str] = {}
    while True:
        answer = client.post("/v1/threads/search", json={"sort": "thread_id", "limit": 2, **wanted, **place})
        assert answer.status_code == 200, answer.text
        page = answer.json()["data"]
        ids += [one["thread_id"] for one in page["threads"]]
        if page["next_cursor"] is None:
            return ids
        place = {"cursor": page["next_cursor"]}


def test_threads_by_how_their_latest_run_stands(client: httpx.Client) -> None:
    """Together with the other conditions, over pages; and deleted so."""
    waiting, over = ([f"{name}-{number}" for number in range(3)] for name in ("waits", "over"))
    for agent, ids, status in (("asks", waiting, 200), ("echo", over, 200), ("breaks", ["broken"], 500)):
        for thread_id in ids:
            assert invoke(client, agent, say("hi", thread_id)).status_code == status
    assert found(client, status="interrupted") == waiting
    assert found(client, status="idle") == over
    assert found(client, status="error") == ["broken"]
    assert found(client, status="running") == []
    assert found(client, status="interrupted", text="nobody said this") == []
    asked = {"status": "interrupted", "dry_run": False}
    assert client.post("/v1/threads/delete", json=asked).json()["data"]["thread_ids"] == waiting
    assert found(client) == ["broken", *over]
