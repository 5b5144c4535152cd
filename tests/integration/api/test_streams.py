"""Streams: a JSON object a line, numbered without gaps, that a client may leave and join again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import databases
from tests.support.agents import AGENTS, pipes
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.run import ROOT
from tests.support.waiting import soon


@pytest.fixture(scope="module")
def agents_api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """An API that hosts the tests' agents."""
    servers, template = request.getfixturevalue("servers"), request.getfixturevalue("template")
    name = databases.new_name("streams")
    databases.create(servers.database_url, name, template)
    try:
        url = databases.url_of(servers.database_url, name)
        with running_api(url, servers.redis_url, AGENTFLOW_AGENTS=AGENTS, PYTHONPATH=str(ROOT)) as api:
            yield api
    finally:
        databases.drop(servers.database_url, name)


@pytest.fixture
def client(agents_api: Api) -> Iterator[httpx.Client]:
    with agents_api.client(agents_api.tenant()) as client:
        yield client


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def texts(chunks: list[dict[str, Any]]) -> list[str]:
    return [chunk["message"]["content"][0]["text"] for chunk in chunks if chunk["event"] == "message"]


def events(text: str) -> list[dict[str, str]]:
    """Server-sent events, as a browser reads them."""
    found = []
    for block in text.split("\n\n"):
        fields = [line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")]
        if fields:
            found.append(dict(fields))
    return found


def test_a_stream_in_the_shape_of_the_contract(client: httpx.Client) -> None:
    """The user's message first, then each produced one; every chunk has its time and the next number."""
    response = client.post("/a/echo/v1/graph/stream", json=say("hello"))
    chunks = lines(response)
    assert texts(chunks)[0] == "hello"
    assert [chunk["seq"] for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert set(chunk) == {
            "event", "message", "state", "data", "thread_id", "run_id", "metadata", "timestamp", "seq",
        }  # fmt: skip
        assert chunk["thread_id"] == chunk["metadata"]["thread_id"] == "t"
        assert chunk["metadata"]["is_new_thread"] is True
    assert response.headers["x-run-id"] == chunks[0]["run_id"]
    assert response.headers["content-type"].startswith("application/x-ndjson")


def test_granularity(client: httpx.Client) -> None:
    """Low tells messages, partial the state too, full what is being done; the thread's id is the tenant's."""
    kinds = {}
    chunks: list[dict[str, Any]] = []
    for granularity in ("low", "partial", "full"):
        body = say("hi", response_granularity=granularity)
        chunks = lines(client.post("/a/echo/v1/graph/stream", json=body))
        kinds[granularity] = {chunk["event"] for chunk in chunks}
        states = [chunk["state"] for chunk in chunks if chunk["event"] == "state"]
        assert all(state["execution_meta"]["thread_id"] == "t" for state in states)
    assert kinds == {
        "low": {"message"},
        "partial": {"message", "state"},
        "full": {"message", "state", "updates"},
    }
    done = [chunk["data"]["status"] for chunk in chunks if chunk["event"] == "updates"]
    assert done[-1] == "graph_invoked"
    assert {"invoking_node", "node_invoked"} < set(done)


def test_no_granularity_is_low(client: httpx.Client) -> None:
    """Other than with an invoke."""
    body = say("hi")
    del body["response_granularity"]
    assert {chunk["event"] for chunk in lines(client.post("/v1/graph/stream", json=body))} == {"message"}


def test_a_run_can_be_read_again(client: httpx.Client) -> None:
    """All of it or what is behind a chunk, as lines and as events, byte for byte as it was said."""
    response = client.post("/v1/graph/stream", json=say("My name is Alex."))
    path = f"/v1/threads/t/runs/{response.headers['x-run-id']}"
    assert client.get(f"{path}/stream").text == response.text
    assert client.get(f"{path}/stream?after=0").text.splitlines() == response.text.splitlines()[1:]
    assert client.get(f"{path}/stream?after=99").text == ""

    seen = events(client.get(f"{path}/stream", headers={"accept": "text/event-stream"}).text)
    assert [event["data"] for event in seen[:-1]] == response.text.splitlines()
    assert [event["id"] for event in seen[:-1]] == [str(number) for number in range(len(seen) - 1)]
    assert seen[-1]["event"] == "end"
    assert json.loads(seen[-1]["data"])["status"] == "success"
    headers = {"accept": "text/event-stream", "last-event-id": "0"}
    assert [event.get("id") for event in events(client.get(f"{path}/stream", headers=headers).text)] == [
        "1",
        None,
    ]

    # A browser comes back to the address it was given at first.
    headers["last-event-id"] = "1"
    assert [
        event["event"] for event in events(client.get(f"{path}/stream?after=0", headers=headers).text)
    ] == ["end"]
    for bad in ("x", "-1", "1.5", "9" * 19):
        for accept in ("text/event-stream", "application/x-ndjson"):
            headers = {"accept": accept, "last-event-id": bad}
            assert client.get(f"{path}/stream?after=0", headers=headers).status_code == 422

    run = client.get(path).json()["data"]["run"]
    assert (run["status"], run["kind"], run["attempts"], run["chunks"]) == (
        "success",
        "stream",
        1,
        len(seen) - 1,
    )
    joined = client.get(f"{path}/join").json()["data"]
    assert [message["role"] for message in joined["result"]["messages"]] == ["user", "assistant"]
    assert joined["result"]["meta"] == {"is_new_thread": True, "thread_id": "t"}


def test_a_run_as_events(client: httpx.Client) -> None:
    """`/runs/stream`: message events with their numbers, and an end."""
    response = client.post("/a/echo/v1/threads/sse/runs/stream", json=say("hi", None))
    seen = events(response.text)
    assert [event["event"] for event in seen] == ["message", "message", "end"]
    assert json.loads(seen[0]["data"])["thread_id"] == "sse"


def test_a_failing_node(client: httpx.Client) -> None:
    """Once something was said the failure is a chunk, at the end; the inside does not show."""
    response = client.post("/a/breaks/v1/graph/stream", json=say("hi"))
    chunks = lines(response)
    assert [chunk["event"] for chunk in chunks] == ["message", "error"]
    assert "RuntimeError" in chunks[-1]["data"]["reason"]
    run = client.get(f"/v1/threads/t/runs/{response.headers['x-run-id']}").json()["data"]["run"]
    assert run["status"] == "error"
    assert run["error"]["code"] == "NODE_EXECUTION"


@pytest.mark.parametrize("path", ["/v1/graph/stream", "/v1/threads/t/runs/stream"])
def test_a_node_whose_output_is_no_data(client: httpx.Client, path: str) -> None:
    """The run fails by a node, named with the field; the input is stored, and the thread goes on."""
    told = client.post(f"/a/infinite{path}", json=say("hi", None)).text
    (run,) = client.get("/v1/runs").json()["data"]["runs"]
    assert (run["status"], run["error"]["code"]) == ("error", "NODE_ENCODING")
    thread = run["thread_id"]
    for text in (told, run["error"]["message"]):
        assert "'MAIN'" in text
        assert "'context'" in text
    assert len(client.get(f"/v1/threads/{thread}/messages").json()["data"]["messages"]) == 1
    assert client.post("/a/echo/v1/graph/invoke", json=say("hi", thread)).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": []}, 422),
        ({"messages": [{"role": "robot", "content": "x"}]}, 422),
        (say("hi", "a/b"), 422),
        (say("hi", recursion_limit=0), 422),
        ({**say("hi"), "resume": 1}, 409),
    ],
)
def test_failures_before_the_run_are_ordinary_answers(
    client: httpx.Client, body: dict[str, Any], status: int
) -> None:
    """In the envelope, with their status."""
    if "resume" in body:
        body = {"messages": [], "resume": 1, "config": {"thread_id": "new"}}
    response = client.post("/v1/graph/stream", json=body)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error", "metadata"}


def test_an_unknown_agent(client: httpx.Client) -> None:
    """404, before anything is made."""
    assert client.post("/a/nobody/v1/graph/stream", json=say("hi")).status_code == 404
    assert client.get("/v1/runs").json()["data"]["runs"] == []


def test_runs_are_listed(client: httpx.Client) -> None:
    """Newest first, in pages, by thread and status."""
    ids = [
        client.post("/a/echo/v1/graph/stream", json=say("hi", f"t{number % 2}")).headers["x-run-id"]
        for number in range(5)
    ]
    page = client.get("/v1/runs", params={"limit": 3}).json()["data"]
    assert [run["run_id"] for run in page["runs"]] == ids[:1:-1]
    rest = client.get("/v1/runs", params={"limit": 3, "cursor": page["next_cursor"]}).json()["data"]
    assert [run["run_id"] for run in rest["runs"]] == ids[1::-1]
    assert rest["next_cursor"] is None
    of_one = client.get("/v1/threads/t1/runs").json()["data"]["runs"]
    assert [run["run_id"] for run in of_one] == [ids[3], ids[1]]
    assert client.get("/v1/runs", params={"status": "error"}).json()["data"]["runs"] == []
    for bad in ({"status": "lost"}, {"cursor": "?"}, {"cursor": "YWJj"}, {"limit": "0"}):
        assert client.get("/v1/runs", params=bad).status_code == 422


def test_runs_go_with_their_thread(client: httpx.Client) -> None:
    """Nothing of what was said is left."""
    made = client.post("/a/echo/v1/graph/stream", json=say("hi")).headers["x-run-id"]
    client.post("/a/echo/v1/graph/stream", json=say("hi", "other"))
    assert client.delete("/v1/threads/t").status_code == 200
    assert client.get(f"/v1/threads/t/runs/{made}").status_code == 404
    assert [run["thread_id"] for run in client.get("/v1/runs").json()["data"]["runs"]] == ["other"]


def test_other_tenants_runs_do_not_exist(agents_api: Api, client: httpx.Client) -> None:
    """The same answer, byte for byte but for its own id and time, as for a run that never was."""
    made = client.post("/a/echo/v1/graph/stream", json=say("hi")).headers["x-run-id"]
    with agents_api.client(agents_api.tenant()) as other:
        for path in ("", "/stream", "/join"):
            foreign = other.get(f"/v1/threads/t/runs/{made}{path}")
            missing = other.get(f"/v1/threads/t/runs/00000000-0000-0000-0000-000000000000{path}")
            assert foreign.status_code == missing.status_code == 404
            assert foreign.json()["error"] == missing.json()["error"]
        assert other.post(f"/v1/threads/t/runs/{made}/cancel").status_code == 404
    assert client.get(f"/v1/threads/other/runs/{made}").status_code == 404
    assert client.get("/v1/threads/t/runs/not-an-id").status_code == 404


def test_the_run_goes_on_without_its_reader(agents_api: Api, client: httpx.Client, tmp_path: Path) -> None:
    """Who was cut off reads on from the last chunk, and gets nothing twice."""
    said, heard = pipes(tmp_path)
    with client.stream("POST", "/a/waits/v1/graph/stream", json=say(f"{said}|{heard}")) as response:
        first = json.loads(next(response.iter_lines()))
        run_id = response.headers["x-run-id"]
    assert said.read_text() == "running"
    heard.write_text("go")
    rest = lines(client.get(f"/v1/threads/t/runs/{run_id}/stream", params={"after": first["seq"]}))
    assert texts(rest) == ["first", "second"]
    assert [chunk["seq"] for chunk in rest] == [1, 2]


def test_a_run_that_ends_with_its_reader(client: httpx.Client, tmp_path: Path) -> None:
    """When it was asked to."""
    said, heard = pipes(tmp_path)
    body = say(f"{said}|{heard}", None, on_disconnect="cancel")
    with client.stream("POST", "/a/waits/v1/threads/t/runs/stream", json=body) as response:
        next(response.iter_lines())
        run_id = response.headers["x-run-id"]
        assert said.read_text() == "running"
    soon(lambda: client.get(f"/v1/threads/t/runs/{run_id}").json()["data"]["run"]["cancel"], within_s=10)
    heard.write_text("go")
    run = soon(lambda: over(client, run_id), within_s=10)
    assert run is not None
    assert run["status"] == "cancelled"
    assert [message["role"] for message in messages(client)] == ["user", "assistant"]


@pytest.mark.parametrize(("action", "roles"), [("interrupt", ["user", "assistant"]), ("rollback", [])])
def test_cancelling(client: httpx.Client, tmp_path: Path, action: str, roles: list[str]) -> None:
    """At the next node boundary; with rollback nothing of it stays in the thread."""
    said, heard = pipes(tmp_path)
    with client.stream("POST", "/a/waits/v1/graph/stream", json=say(f"{said}|{heard}")) as response:
        run_id = response.headers["x-run-id"]
        path = f"/v1/threads/t/runs/{run_id}/cancel"
        lines = response.iter_lines()
        assert said.read_text() == "running"
        # Before a run's first word an interrupt may come too late; a rollback does not.
        if action == "interrupt":
            next(lines)
        asked = client.post(path, json={"action": action})
        assert asked.json()["data"]["run"]["status"] == "running"
        heard.write_text("go")
        list(lines)
    run = soon(lambda: over(client, run_id), within_s=10)
    assert run is not None
    assert run["status"] == "cancelled"
    assert [message["role"] for message in messages(client)] == roles
    again = client.post(path)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "RUN_OVER")


def test_streams_end_with_a_suspended_tenant(agents_api: Api, tmp_path: Path) -> None:
    """An open stream is closed at once, and its run stops."""
    said, heard = pipes(tmp_path)
    tenant: TenantKey = agents_api.tenant()
    with agents_api.client(tenant) as client, agents_api.operator() as operator:
        with client.stream("POST", "/a/waits/v1/graph/stream", json=say(f"{said}|{heard}")) as response:
            assert said.read_text() == "running"
            done = operator.post(f"/v1/admin/tenants/{tenant.tenant.slug}/suspend")
            assert done.status_code == 200
            assert len(list(response.iter_lines())) == 1
        assert client.get("/v1/runs").status_code == 403
        heard.write_text("go")


def over(client: httpx.Client, run_id: str) -> dict[str, Any] | None:
    run: dict[str, Any] = client.get(f"/v1/threads/t/runs/{run_id}").json()["data"]["run"]
    return run if run["finished_at"] else None


def messages(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/threads/t/messages").json()["data"]["messages"]
    return found
