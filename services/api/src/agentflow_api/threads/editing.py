"""Changing a thread by hand: its state and its messages. Each change is a checkpoint of its history."""

from typing import Annotated, Any

from litestar import Request, Response, delete, get, post, put
from pydantic import BaseModel, Field, field_validator

from agentflow.core.state import Message
from agentflow.core.state.codec import decode_message
from agentflow.errors import ThreadNotFoundError
from agentflow_api.graph.agents import agent
from agentflow_api.graph.service import check_messages
from agentflow_api.http import parameters
from agentflow_api.http.admission import RUNS, run_of
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.envelope import success, success_text
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.json_lines import is_json_lines
from agentflow_api.http.problems import InvalidBodyError, NotThereError
from agentflow_api.threads.uploading import upload_messages
from agentflow_api.wiring import Wiring
from agentflow_hosting.invoke_request import messages_in, whole_messages, with_messages
from agentflow_hosting.message_text import message_text
from agentflow_hosting.views import public_state
from agentflow_tenancy import THREADS_READ, THREADS_WRITE, Principal, Run

_NO_MESSAGE = "The thread holds no such message."


class StateRequest(BaseModel):
    """Body of `PUT .../state`."""

    config: dict[str, Any] | None = None
    state: dict[str, Any]

    @field_validator("state")
    @classmethod
    def _with_whole_messages(cls, state: dict[str, Any]) -> dict[str, Any] | None:
        return whole_messages(state)


class MessagesRequest(BaseModel):
    """Body of `POST .../messages`."""

    config: dict[str, Any] | None = None
    messages: Annotated[list[Message], Field(min_length=1)]
    metadata: dict[str, Any] | None = None


@put("/{thread_id:str}/state", opt={RUNS: True})
async def put_state(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Merge into the thread's state: messages are appended, dicts merged deeply, null erases nothing."""
    principal.require(THREADS_WRITE)
    config = _config(principal, thread_id, run_of(request))
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(StateRequest, body)
    change = await _unknown(wiring, principal, thread_id, asked.state)
    check_messages("state", messages_in(change))
    graph = agent(request, principal, wiring)
    state = await graph.aupdate_state(config, change)
    return success({"state": public_state(state.model_dump(mode="json", warnings="none"), principal)})


@delete("/{thread_id:str}/state", status_code=200, opt={RUNS: True})
async def delete_state(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Put the thread's state back to its beginning; its history keeps what was."""
    principal.require(THREADS_WRITE)
    await _anything(request, wiring)
    config = _config(principal, thread_id, run_of(request))
    await agent(request, principal, wiring).aclear_state(config)
    done = {"thread_id": thread_id}
    return success({"success": True, "message": "The state was cleared.", "data": done})


@post("/{thread_id:str}/messages", status_code=200, opt={RUNS: True})
async def add_messages(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Append messages to the thread, making it if it is new. Nothing runs.

    As JSON lines, one message a line, any number is taken, and written in batches as they come.
    """
    principal.require(THREADS_WRITE)
    config = _config(principal, thread_id, run := run_of(request))
    if is_json_lines(request):
        await _may_be_made(principal, wiring, config, run)
        return await upload_messages(request, thread_id, principal, wiring, config, run)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(MessagesRequest, body)
    check_messages("messages", asked.messages)
    await _may_be_made(principal, wiring, config, run)
    graph = agent(request, principal, wiring)

    async def work(effect: Effect) -> Response[bytes]:
        known = config | {"run_id": str(effect.effect_id), "thread_metadata": asked.metadata or {}}
        if effect.since is not None:
            known["rejoin_since"] = effect.since
        await graph.aadd_messages(known, asked.messages)
        ids = [message.message_id for message in asked.messages]
        said = {"thread_id": thread_id, "message_ids": ids}
        return success({"success": True, "message": f"{len(ids)} messages were added.", "data": said})

    return await once(request, principal, wiring, body, work)


@get("/{thread_id:str}/messages/{message_id:str}")
async def get_message(
    thread_id: str, message_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """One message."""
    principal.require(THREADS_READ)
    snapshot = await wiring.store.load(principal.scope, _stored(principal, thread_id))
    if snapshot is None:
        raise ThreadNotFoundError("There is no such thread.")
    for row in snapshot.messages:
        if row.message_id == message_id:
            return success_text(message_text(row))
    raise NotThereError(_NO_MESSAGE)


@delete("/{thread_id:str}/messages/{message_id:str}", status_code=200, opt={RUNS: True})
async def delete_message(
    request: Request[Any, Any, Any], thread_id: str, message_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Take one message out of the thread; its history keeps it."""
    principal.require(THREADS_WRITE)
    await _anything(request, wiring)
    config = _config(principal, thread_id, run_of(request))
    if await wiring.store.get_thread(principal.scope, config["thread_id"]) is None:
        raise ThreadNotFoundError("There is no such thread.")
    try:
        await agent(request, principal, wiring).aremove_message(config, message_id)
    except ThreadNotFoundError as error:
        raise NotThereError(_NO_MESSAGE) from error
    return success({"success": True, "message": "The message was deleted."})


async def _may_be_made(principal: Principal, wiring: Wiring, config: dict[str, Any], run: Run) -> None:
    if run.no_new_thread and not await wiring.store.get_thread(principal.scope, config["thread_id"]):
        run.refuse_new_thread()


async def _anything(request: Request[Any, Any, Any], wiring: Wiring) -> None:
    """The body, `{"config": {}}` or nothing, says nothing more."""
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    if body is not None and not isinstance(body, dict):
        raise InvalidBodyError("The body must be a JSON object, or empty.")


async def _unknown(
    wiring: Wiring, principal: Principal, thread_id: str, state: dict[str, Any]
) -> dict[str, Any]:
    """A state without the messages that the thread holds just so: clients put back what they read."""
    if not any(True for _ in messages_in(state)):
        return state
    snapshot = await wiring.store.load(principal.scope, _stored(principal, thread_id))
    held = {row.message_id: row for row in snapshot.messages} if snapshot else {}

    def is_unknown(message: Message) -> bool:
        row = held.get(message.message_id)
        return row is None or decode_message(row) != message

    return with_messages(state, is_unknown)


def _config(principal: Principal, thread_id: str, run: Run) -> dict[str, Any]:
    return {
        "thread_id": _stored(principal, thread_id),
        "scope": principal.scope,
        "user_id": principal.user_id,
        "token_budget": run,
    }


def _stored(principal: Principal, thread_id: str) -> str:
    return principal.stored_id(parameters.thread_id(thread_id))
