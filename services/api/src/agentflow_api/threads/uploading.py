"""Many messages at a time: a JSON object a line, written as they come."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.status_codes import HTTP_200_OK
from pydantic import ValidationError

from agentflow.core.graph import Imported
from agentflow.core.state import Message
from agentflow_api.graph.agents import agent
from agentflow_api.http import parameters
from agentflow_api.http.envelope import success
from agentflow_api.http.errors import PROGRESS
from agentflow_api.http.fields import field_of
from agentflow_api.http.gatekeeper import Gate
from agentflow_api.http.idempotency import Effect, given_key, once
from agentflow_api.http.json_lines import NDJSON, json_lines
from agentflow_api.http.problems import InvalidBodyError
from agentflow_api.wiring import Wiring
from agentflow_tenancy import Principal, QuotaExceededError, Run
from agentflow_tenancy.quotas import MINUTE_S, STORED_BYTES, Decision, Standing

# What clients send when they mean "give it an id".
_UNSET: Final = (None, "", "0", 0)
_NAMES: Final = uuid.UUID("5b0f3f34-66f7-4b8e-a8a5-0a3f6f0f7c9e")
# Of a body whose upload failed so much is still taken: a client that cannot send on may not see the answer.
_READ_ON_BYTES: Final = 32 * 1024 * 1024
_READ_ON_S: Final = 10.0


async def upload_messages(
    request: Request[Any, Any, Any],
    thread_id: str,
    principal: Principal,
    wiring: Wiring,
    config: dict[str, Any],
    run: Run,
) -> Response[bytes]:
    """Append the messages of the body's lines; see `CompiledGraph.aimport_messages` for what is atomic.

    Args:
        thread_id: As the tenant knows the thread.
        config: Of the thread, as the library takes it.
        run: What was let in.
    """
    graph = agent(request, principal, wiring)
    body = request.stream()
    encoding = field_of(request, b"content-encoding", "identity")
    lines = json_lines(body, encoding, max_line_bytes=wiring.settings.max_body_bytes)

    async def work(effect: Effect) -> Response[bytes]:
        seed = _seed(request, principal, config, first) or str(effect.effect_id)
        with wiring.gates.opened(principal) as gate:
            upload = _Upload(request, lines, first, seed, run, gate)
            async with aclosing(upload.messages()) as messages:
                done = await graph.aimport_messages(
                    config | {"run_id": str(effect.effect_id)},
                    messages,
                    answered_only=True,
                    on_batch=upload.note,
                )
        said = {"thread_id": thread_id, "lines": done.read, "added": done.added, "skipped": done.skipped}
        return success({"success": True, "message": f"{done.added} messages were added.", "data": said})

    async with aclosing(lines):
        try:
            # Another upload under the same key is told by how it begins: nobody has seen all of it yet.
            first = await anext(lines, None)
            answer = await once(request, principal, wiring, {"content-type": NDJSON, "first": first}, work)
        except Exception:  # whatever it is, its answer is to be seen
            await _read_on(body)
            raise
    if answer.status_code != HTTP_200_OK:  # kept for its key, and answered instead of raised
        await _read_on(body)
    return answer


class _Upload:
    def __init__(
        self,
        request: Request[Any, Any, Any],
        lines: AsyncGenerator[tuple[int, Any]],
        first: tuple[int, Any] | None,
        seed: str,
        run: Run,
        gate: Gate,
    ) -> None:
        self._request = request
        self._lines = lines
        self._first = first
        self._seed = seed
        self._gate = gate
        self._room = run.decision.standing(STORED_BYTES)
        self._bytes = 0

    async def messages(self) -> AsyncGenerator[Message]:
        """Each line as a message.

        Raises:
            InvalidBodyError: It is none, or calls a tool in another way than messages do.
            QuotaExceededError: No more may be kept.
            CredentialError, TenantSuspendedError: Whoever sends it is let in no more.
        """
        if self._first is not None:
            yield self._taken(*self._first)
        async for number, data in self._lines:
            yield self._taken(number, data)

    def _taken(self, number: int, data: Any) -> Message:
        self._gate.check()
        message = _message(data, number, self._seed)
        self._bytes += len(message.text().encode(errors="replace"))
        if self._room is not None and self._bytes > self._room.remaining:
            raise QuotaExceededError(_full(self._room))
        return message

    def note(self, done: Imported) -> None:
        """Whatever ends the upload, its answer says how much is stored."""
        self._request.scope["state"][PROGRESS] = [
            {
                "loc": ["body", "stored"],
                "msg": f"The first {done.read} messages are stored; sent again they are passed over.",
                "type": "upload_progress",
                "lines": done.read,
                "added": done.added,
                "skipped": done.skipped,
            }
        ]


def _message(data: Any, number: int, seed: str) -> Message:
    if not isinstance(data, dict):
        raise _invalid(number, [], "is no JSON object", "dict_type")
    if data.get("message_id") in _UNSET:
        # The same line of the same upload is the same message, also when it is sent again.
        data = {**data, "message_id": uuid.uuid5(_NAMES, f"{seed}:{number}").hex}
    try:
        message = Message.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise _invalid(number, list(first["loc"]), first["msg"], first["type"]) from error
    if message.tools_calls and not message.tool_calls() and not message.remote_tool_calls():
        raise _invalid(number, ["tools_calls"], "belongs to blocks that call tools", "value_error")
    if (problem := parameters.id_problem(message.message_id)) is not None:
        raise _invalid(
            number, ["message_id"], f"has an id that no path can carry: it {problem}", "value_error"
        )
    return message


def _invalid(number: int, where: list[Any], problem: str, kind: str) -> InvalidBodyError:
    detail = {"loc": ["body", number, *where], "msg": problem, "type": kind}
    return InvalidBodyError(f"Line {number} is no message: {problem}.", [detail])


def _seed(
    request: Request[Any, Any, Any], principal: Principal, config: dict[str, Any], first: Any
) -> str | None:
    """What ids are made of: the upload's key, and how it begins; None when it has no key."""
    key = given_key(request)
    return (
        None
        if key is None
        else json.dumps([str(principal.tenant.tenant_id), config["thread_id"], key, first])
    )


def _full(room: Standing) -> Decision:
    none_left = replace(room, remaining=0)
    return Decision(False, STORED_BYTES, MINUTE_S, made=lambda: (none_left,))


async def _read_on(body: AsyncGenerator[bytes]) -> None:
    left = _READ_ON_BYTES
    with suppress(HTTPException, TimeoutError):  # it is gone; another error is being answered already
        async with asyncio.timeout(_READ_ON_S):
            async for piece in body:
                left -= len(piece)
                if left < 0:
                    return
