"""`/v1/graph`: running the agent, and what it looks like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from agentflow.client.chunks import RunChunks
from agentflow.client.models import Fixed, Graph, GraphTools, InvokeResult, Stopped
from agentflow.client.operations.inputs import Messages, RunOptions, run_body
from agentflow.client.operations.operation import Operation, key_of


def invoke(messages: Messages = (), **options: Unpack[RunOptions]) -> Operation[InvokeResult]:
    """Run the agent on a thread, to the end, a pause or a stop.

    Args:
        messages: What is said: text for a user's message, or messages.
        options: See `RunOptions`.

    One round trip, sent again with the same key when the connection fails.
    """
    return Operation(
        method="POST",
        path="/v1/graph/invoke",
        read=InvokeResult.model_validate,
        body=run_body(messages, options),
        idempotency_key=key_of(options.get("idempotency_key")),
        timeout_s=options.get("timeout_s"),
    )


def stream(messages: Messages = (), **options: Unpack[RunOptions]) -> RunChunks:
    """Run the agent on a thread, and yield chunks as it goes on.

    A connection that breaks is made anew, behind the last chunk that came. Granularity is low when not given.
    An error of the run is its last chunk, with `event` error.
    """
    body = {"response_granularity": "low", **run_body(messages, options)}
    return RunChunks(
        method="POST",
        path="/v1/graph/stream",
        body=body,
        idempotency_key=key_of(options.get("idempotency_key")),
        timeout_s=options.get("timeout_s"),
        thread_id=body["config"].get("thread_id"),
    )


def ping() -> Operation[str]:
    """Whether the service answers: "pong"."""
    return Operation(method="GET", path="/ping", read=str, of_agent=False)


def get() -> Operation[Graph]:
    """The agent's nodes and edges."""
    return Operation(method="GET", path="/v1/graph", read=Graph.model_validate)


def state_schema() -> Operation[dict[str, Any]]:
    """The JSON schema of the agent's state."""
    return Operation(method="GET", path="/v1/graph:StateSchema", read=dict)


def tools() -> Operation[GraphTools]:
    """The tools of each node."""
    return Operation(method="GET", path="/v1/graph/tools", read=GraphTools.model_validate)


def stop(thread_id: str, *, idempotency_key: str | None = None) -> Operation[Stopped]:
    """Have a thread's run stop at its next node boundary."""
    return _of_thread("stop", thread_id, Stopped.model_validate, idempotency_key)


def fix(thread_id: str, *, idempotency_key: str | None = None) -> Operation[Fixed]:
    """Drop the messages that interrupted tool calls left behind."""
    return _of_thread("fix", thread_id, Fixed.model_validate, idempotency_key)


def setup(
    tools: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None
) -> Operation[dict[str, Any]]:
    """Register tools that the client runs.

    Args:
        tools: `{"node_name", "name", "description", "parameters"}` each.
        idempotency_key: Made when it is not given.
    """
    return Operation(
        method="POST",
        path="/v1/graph/setup",
        read=dict,
        body={"tools": list(tools)},
        idempotency_key=key_of(idempotency_key),
    )


def _of_thread[T](verb: str, thread_id: str, read: Any, idempotency_key: str | None) -> Operation[T]:
    return Operation(
        method="POST",
        path=f"/v1/graph/{verb}",
        read=read,
        body={"thread_id": thread_id},
        idempotency_key=key_of(idempotency_key),
    )
