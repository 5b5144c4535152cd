"""What a run is given, as it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

from agentflow.core.state.message import Message

type Granularity = Literal["low", "partial", "full"]
type Strategy = Literal["enqueue", "reject", "interrupt", "rollback"]
type Messages = str | Message | Mapping[str, Any] | Iterable[Message | Mapping[str, Any]]


class CommonOptions(TypedDict, total=False):
    """Of everything that runs an agent.

    Attributes:
        config: More for the run, such as `thread_name`.
        initial_state: Fields of the state to begin with.
        resume: Answers an interrupt; None is an answer too.
        recursion_limit: Steps, 1 to 100.
        response_granularity: How much of the state comes back.
        idempotency_key: Made for each call when it is not given.
        timeout_s: Longest wait for an answer.
    """

    config: Mapping[str, Any]
    initial_state: Mapping[str, Any]
    resume: Any
    recursion_limit: int
    response_granularity: Granularity
    idempotency_key: str
    timeout_s: float


class RunOptions(CommonOptions, total=False):
    """Of a run whose thread need not be there.

    Attributes:
        thread_id: The service makes a thread when there is none.
    """

    thread_id: str


class BackgroundOptions(CommonOptions, total=False):
    """Of runs that are resources of their own.

    Attributes:
        after_s: Seconds until it may begin.
        webhook: Address that is told when it is over.
        multitask_strategy: What becomes of a run that the thread has already.
        durability: When a step is durable.
        metadata: Kept with the run.
    """

    after_s: float
    webhook: str
    multitask_strategy: Strategy
    durability: Literal["sync", "async", "exit"]
    metadata: Mapping[str, Any]


class StreamOptions(BackgroundOptions, total=False):
    """Of runs that are read as they go.

    Attributes:
        on_disconnect: What becomes of the run when its reader goes away.
    """

    on_disconnect: Literal["continue", "cancel"]


# What is no member of the body, or not by this name.
_BESIDE_THE_BODY = ("thread_id", "config", "idempotency_key", "timeout_s")


def run_body(messages: Messages, options: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request that runs an agent."""
    config = dict(options.get("config") or {})
    if "thread_id" in options:
        config["thread_id"] = options["thread_id"]
    given = {name: value for name, value in options.items() if name not in _BESIDE_THE_BODY}
    return {"messages": as_messages(messages), "config": config, **given}


def as_messages(messages: Messages) -> list[Message | Mapping[str, Any]]:
    """Text is a user's message; one message is a list of one."""
    if isinstance(messages, str):
        # Without an id and a time of its own, so that the same call with the same key is the same request.
        return [{"role": "user", "content": [{"type": "text", "text": messages}]}]
    if isinstance(messages, Message | Mapping):
        return [messages]
    return list(messages)
