"""`/v1/graph/ws`: runs over a socket, one after the other, a chunk a frame."""

import json
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Annotated, Any, Final, Literal

from litestar import Router, WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field

from agentflow.core.state import Message
from agentflow.core.state.blocks import ContentBlock
from agentflow.errors import AgentFlowError
from agentflow_api.graph.agents import agent_name
from agentflow_api.graph.conversation import Conversation
from agentflow_api.graph.service import public_thread_id
from agentflow_api.http.admission import lent_run
from agentflow_api.http.body import json_of, validated
from agentflow_api.http.errors import public_failure
from agentflow_api.http.gatekeeper import Gate
from agentflow_api.http.idempotency import Effect
from agentflow_api.http.problems import BadRequestError, InvalidBodyError, RequestError
from agentflow_api.http.socket_credentials import SUBPROTOCOL, principal_of
from agentflow_api.runs.service import Wanted, start
from agentflow_api.wiring import Wiring
from agentflow_hosting.invoke_request import StreamRequest
from agentflow_hosting.runs import RunRecord
from agentflow_tenancy import (
    GRAPH_INVOKE,
    CredentialError,
    Principal,
    QuotaExceededError,
    TenancyError,
    TenantSuspendedError,
)

logger = logging.getLogger("agentflow.api")

_POLICY_VIOLATION: Final = 1008
_GOING_AWAY: Final = 1001
_TRY_AGAIN_LATER: Final = 1013
_DONE: Final = {"event": "updates", "data": {"status": "done"}}
_NOT_LIVE: Final = {
    "type": "error",
    "code": "not_live",
    "message": "This agent speaks in text: use /v1/graph/ws, or POST /v1/graph/stream.",
    "fatal": True,
}


class Frame(BaseModel):
    """What stands in a frame beside what a run is asked."""

    model_config = ConfigDict(extra="allow")

    invoke_type: Literal["fresh", "resume"] = "fresh"
    tool_result: list[Message | Annotated[ContentBlock, Field(discriminator="type")]] | None = None


@websocket("/ws")
async def graph_socket(socket: WebSocket[Any, Any, Any]) -> None:
    """Runs over a socket.

    A frame is what `POST /v1/graph/stream` takes, with `invoke_type` "fresh" or "resume"; with the latter
    `tool_result` may stand for messages. Each chunk is a frame, and after each run comes one with the
    status "done". A frame that cannot be used gets an error chunk, and the socket stays open.
    """
    async with _let_in(socket) as (principal, wiring, gate):
        principal.require(GRAPH_INVOKE)
        if not await _has_room(socket, wiring, principal):
            return
        await Conversation(socket, gate, partial(_answer, socket, wiring, principal, gate)).run()


@websocket("/live")
async def live_socket(socket: WebSocket[Any, Any, Any]) -> None:
    """Speech and pictures as they come: of agents that take them, and none here does."""
    async with _let_in(socket) as (principal, wiring, _):
        if await _has_room(socket, wiring, principal):
            await socket.send_json(_NOT_LIVE)
            await socket.close(_POLICY_VIOLATION, "not_live")


@asynccontextmanager
async def _let_in(socket: WebSocket[Any, Any, Any]) -> AsyncGenerator[tuple[Principal, Wiring, Gate]]:
    """An open socket of somebody who is let in; otherwise the handshake is refused."""
    wiring: Wiring = socket.app.state["wiring"]
    principal, by_subprotocol = await principal_of(socket, wiring)
    await socket.accept(subprotocols=SUBPROTOCOL if by_subprotocol else None)
    try:
        with wiring.gates.opened(principal) as gate:
            yield principal, wiring, gate
    except WebSocketDisconnect:
        return
    except (CredentialError, TenantSuspendedError, TenancyError):
        with suppress(WebSocketDisconnect, RuntimeError):
            await socket.close(_POLICY_VIOLATION, "This credential is no longer let in.")
        return
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(_GOING_AWAY)


async def _has_room(socket: WebSocket[Any, Any, Any], wiring: Wiring, principal: Principal) -> bool:
    """Opening a socket is a request like others; who has too many is told, and closed."""
    try:
        await wiring.quotas.request(principal)
    except QuotaExceededError as error:
        await _tell_failure(socket, error, principal)
        await socket.close(_TRY_AGAIN_LATER, "QUOTA_EXCEEDED")
        return False
    return True


async def _tell_failure(socket: WebSocket[Any, Any, Any], error: Exception, principal: Principal) -> None:
    code, reason = public_failure(error, principal)
    await socket.send_json({"event": "error", "data": {"reason": reason, "code": code}})


async def _answer(
    socket: WebSocket[Any, Any, Any],
    wiring: Wiring,
    principal: Principal,
    gate: Gate,
    frame: str | bytes,
) -> None:
    try:
        run = await _started(socket, wiring, principal, frame)
    except (RequestError, AgentFlowError, TenancyError, LookupError) as error:
        if isinstance(error, CredentialError | TenantSuspendedError):
            raise
        await _tell_failure(socket, error, principal)
        return
    async with aclosing(wiring.reader.follow(run, gate=gate)) as chunks:
        async for chunk in chunks:
            if chunk is not None:
                await socket.send_text(chunk.body)
    await socket.send_text(json.dumps({**_DONE, "run_id": str(run.run_id)}))


async def _started(
    socket: WebSocket[Any, Any, Any], wiring: Wiring, principal: Principal, frame: str | bytes
) -> RunRecord:
    async with lent_run(principal, wiring) as budget:
        asked = _asked(frame, wiring.settings.max_body_bytes)
        name = agent_name(socket, principal, wiring)
        effect = Effect(uuid.uuid4())
        thread_id = public_thread_id(asked.open_config(), effect)
        return await start(wiring, principal, Wanted(name, thread_id, asked, effect), budget)


def _asked(frame: str | bytes, max_bytes: int) -> StreamRequest:
    body = json_of(frame.encode(errors="surrogatepass") if isinstance(frame, str) else frame, max_bytes)
    if not isinstance(body, dict):
        raise BadRequestError("A frame is a JSON object.")
    said = validated(Frame, body)
    rest = {name: value for name, value in body.items() if name not in ("invoke_type", "tool_result")}
    asked = validated(StreamRequest, rest)
    if said.tool_result is None:
        return asked
    if said.invoke_type != "resume":
        raise InvalidBodyError("`tool_result` goes with invoke_type 'resume'.")
    return asked.model_copy(update={"messages": [*asked.messages, *_messages(said.tool_result)]})


def _messages(results: list[Any]) -> list[Message]:
    """Tool results as the messages they stand for; blocks side by side are one message."""
    messages: list[Message] = []
    blocks: list[Any] = []
    for item in results:
        if isinstance(item, Message):
            messages.append(item)
        else:
            blocks.append(item)
    return [*messages, Message(role="tool", content=blocks)] if blocks else messages


sockets_router = Router("/v1/graph", route_handlers=[graph_socket, live_socket])
