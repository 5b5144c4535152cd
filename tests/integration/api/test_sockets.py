"""Runs over a WebSocket, in the exact forms of the contract."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.support import databases
from tests.support.agents import AGENTS, pipes
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.run import ROOT, Servers
from tests.support.waiting import soon


@pytest.fixture(scope="module")
def agents_api(servers: Servers, template: str) -> Iterator[Api]:
    """An API that hosts the tests' agents, and the demo's that has tools on the client."""
    agents = f"{AGENTS},tools=agentflow_hosting.agents.tools:graph"
    name = databases.new_name("sockets")
    databases.create(servers.database_url, name, template)
    try:
        url = databases.url_of(servers.database_url, name)
        with running_api(url, servers.redis_url, AGENTFLOW_AGENTS=agents, PYTHONPATH=str(ROOT)) as api:
            yield api
    finally:
        databases.drop(servers.database_url, name)


@pytest.fixture
def mine(agents_api: Api) -> TenantKey:
    return agents_api.tenant()


@asynccontextmanager
async def opened(api: Api, mine: TenantKey, path: str = "/v1/graph/ws") -> AsyncIterator[ClientConnection]:
    url = api.base_url.replace("http", "ws") + path
    async with connect(url, additional_headers=mine.headers, max_size=None) as socket:
        yield socket


async def ask(socket: ClientConnection, body: Any) -> list[dict[str, Any]]:
    """Send a frame, and read up to the one that says it is done, or an error."""
    await socket.send(body if isinstance(body, str | bytes) else json.dumps(body))
    chunks = []
    async with asyncio.timeout(20):
        while True:
            chunks.append(json.loads(await socket.recv()))
            if chunks[-1]["event"] == "error" or chunks[-1].get("data") == {"status": "done"}:
                return chunks


def fresh(text: str, thread_id: str | None = "t", **more: Any) -> dict[str, Any]:
    return {"invoke_type": "fresh", **say(text, thread_id), **more}


async def test_a_run_and_another(agents_api: Api, mine: TenantKey) -> None:
    """One chunk a frame, as the stream has them; then that it is done; then the next."""
    async with opened(agents_api, mine) as socket:
        first = await ask(socket, fresh("My name is Alex."))
        assert [chunk["message"]["role"] for chunk in first[:-1]] == ["user", "assistant"]
        assert [chunk["seq"] for chunk in first[:-1]] == [0, 1]
        second = await ask(socket, fresh("What is my name?"))
        assert second[1]["message"]["content"][0]["text"] == "Your name is Alex."


@pytest.mark.parametrize("form", ["blocks", "messages"])
async def test_tools_on_the_client(agents_api: Api, mine: TenantKey, form: str) -> None:
    """The call comes, its result goes back, the answer comes."""
    async with opened(agents_api, mine, "/a/tools/v1/graph/ws") as socket:
        chunks = await ask(socket, fresh("what time is it?"))
        (call,) = [
            block
            for chunk in chunks
            if chunk["event"] == "message"
            for block in chunk["message"]["content"]
            if block["type"] == "remote_tool_call"
        ]
        result: Any = {"type": "tool_result", "call_id": call["id"], "output": "12:00", "status": "completed"}
        if form == "messages":
            result = {"role": "tool", "message_id": "0", "content": [result]}
        frame = {"invoke_type": "resume", "tool_result": [result], "config": {"thread_id": "t"}}
        answer = await ask(socket, frame)
        assert answer[-2]["message"]["content"][0]["text"] == "tool said: 12:00"
        again = await ask(socket, frame)
        assert again[-1]["event"] == "error"  # a result is taken for a pending call only


@pytest.mark.parametrize(
    "bad",
    [
        "no json",
        "[]",
        b"\xff\xfe",
        '{"invoke_type": "later", "messages": []}',
        '{"invoke_type": "fresh", "messages": []}',
        '{"messages": [{"role": "robot", "content": "x"}]}',
        json.dumps({**say("hi", "a/b")}),
        json.dumps({**say("hi"), "tool_result": []}),
        json.dumps({**say("hi"), "recursion_limit": 0}),
        "[" * 3000,
    ],
)
async def test_a_bad_frame_leaves_the_socket_open(agents_api: Api, mine: TenantKey, bad: str | bytes) -> None:
    """It gets an error chunk, and the next frame is as good as ever."""
    async with opened(agents_api, mine, "/a/echo/v1/graph/ws") as socket:
        (error,) = await ask(socket, bad)
        assert error["event"] == "error"
        assert error["data"]["reason"]
        assert len(await ask(socket, fresh("hi"))) == 3


@pytest.mark.parametrize(("agent", "told"), [("breaks", "'MAIN'"), ("infinite", "'context'")])
async def test_a_failing_node(agents_api: Api, mine: TenantKey, agent: str, told: str) -> None:
    """Is an error chunk too, after what was said."""
    async with opened(agents_api, mine, f"/a/{agent}/v1/graph/ws") as socket:
        chunks = await ask(socket, fresh("hi"))
        assert [chunk["event"] for chunk in chunks] == ["message", "error"]
        assert told in chunks[-1]["data"]["reason"]
        await socket.recv()  # done all the same
        assert (await ask(socket, fresh("hi", "other")))[0]["event"] == "message"


async def test_three_ways_in(agents_api: Api, mine: TenantKey) -> None:
    """The header field, the subprotocol, which is echoed, and the query."""
    url = agents_api.base_url.replace("http", "ws") + "/a/echo/v1/graph/ws"
    protocols = [Subprotocol("agentflow-bearer"), Subprotocol(mine.key)]
    async with connect(url, subprotocols=protocols) as socket:
        assert socket.subprotocol == "agentflow-bearer"
        assert len(await ask(socket, fresh("hi"))) == 3
    async with connect(f"{url}?token={mine.key}") as socket:
        assert len(await ask(socket, fresh("hi", "other"))) == 3


@pytest.mark.parametrize("place", ["subprotocol", "query"])
async def test_the_same_token_in_two_places(agents_api: Api, mine: TenantKey, place: str) -> None:
    """As clients outside of browsers send it: once where any socket can, once more in the header field."""
    url = agents_api.base_url.replace("http", "ws") + "/a/echo/v1/graph/ws"
    given: dict[str, Any] = {"uri": f"{url}?token={mine.key}"}
    if place == "subprotocol":
        given = {"uri": url, "subprotocols": [Subprotocol("agentflow-bearer"), Subprotocol(mine.key)]}
    async with connect(**given, additional_headers=mine.headers) as socket:
        assert socket.subprotocol == ("agentflow-bearer" if place == "subprotocol" else None)
        assert len(await ask(socket, fresh("hi"))) == 3


@pytest.mark.parametrize("given", ["none", "wrong", "two", "suspended"])
async def test_the_handshake_is_refused(agents_api: Api, given: str) -> None:
    """403, before anything is opened."""
    mine = await asyncio.to_thread(agents_api.tenant)
    if given == "suspended":
        with agents_api.operator() as operator:
            operator.post(f"/v1/admin/tenants/{mine.tenant.slug}/suspend")
    url = agents_api.base_url.replace("http", "ws") + "/v1/graph/ws"
    headers = {} if given == "none" else mine.headers
    if given == "wrong":
        headers = {"Authorization": "Bearer af_live_nobody"}
    if given == "two":
        other = await asyncio.to_thread(agents_api.tenant)
        url += f"?token={other.key}"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, additional_headers=headers):
            pass
    assert refused.value.response.status_code == 403


async def test_a_suspended_tenant_s_socket_is_closed(agents_api: Api, mine: TenantKey) -> None:
    """Though nothing is sent on it."""
    async with opened(agents_api, mine) as socket:
        with agents_api.operator() as operator:
            await asyncio.to_thread(operator.post, f"/v1/admin/tenants/{mine.tenant.slug}/suspend")
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_the_run_goes_on_without_its_socket(agents_api: Api, mine: TenantKey, tmp_path: Path) -> None:
    """And can be read to its end."""
    said, heard = pipes(tmp_path)
    async with opened(agents_api, mine, "/a/waits/v1/graph/ws") as socket:
        await socket.send(json.dumps(fresh(f"{said}|{heard}")))
        run_id = json.loads(await socket.recv())["run_id"]
        assert await asyncio.to_thread(said.read_text) == "running"
    heard.write_text("go")
    with agents_api.client(mine) as client:
        path = f"/v1/threads/t/runs/{run_id}/stream"
        read = (await asyncio.to_thread(client.get, path)).text.splitlines()
    texts = [json.loads(line)["message"]["content"][0]["text"] for line in read]
    assert texts[1:] == ["first", "second"]


async def test_live_is_for_others(agents_api: Api, mine: TenantKey) -> None:
    """A text agent says so, and closes."""
    async with opened(agents_api, mine, "/v1/graph/live") as socket:
        said = json.loads(await socket.recv())
        assert (said["type"], said["code"], said["fatal"]) == ("error", "not_live", True)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_frames_that_cannot_be_used_are_paid_for(agents_api: Api, mine: TenantKey) -> None:
    """Opening a socket is a request, and each frame is one, whatever it holds."""
    limits = {"requests_per_minute": 1, "burst": 3}
    path = f"/v1/admin/tenants/{mine.tenant.tenant_id}"
    with agents_api.operator() as operator, agents_api.client(mine) as client:
        assert operator.patch(path, json={"plan": "unlimited", "limits": limits}).status_code == 200
        await asyncio.to_thread(soon, lambda: "ratelimit" in client.get("/v1/threads").headers)
    codes = []
    async with opened(agents_api, mine) as socket:
        for frame in ("junk", "{", "[]"):
            [chunk] = await ask(socket, frame)
            codes.append(chunk["data"]["code"])
    assert codes == ["BAD_REQUEST", "QUOTA_EXCEEDED", "QUOTA_EXCEEDED"]
    for again in ("/v1/graph/ws", "/v1/graph/live"):
        async with opened(agents_api, mine, again) as socket:
            assert json.loads(await socket.recv())["data"]["code"] == "QUOTA_EXCEEDED"
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 1013
