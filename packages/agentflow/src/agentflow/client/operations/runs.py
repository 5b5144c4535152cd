"""`/v1/threads/{thread_id}/runs` and `/v1/runs`: runs as resources."""

from __future__ import annotations

from typing import Any, Literal, Unpack

from agentflow.client.chunks import RunChunks
from agentflow.client.models import Run, RunResult
from agentflow.client.operations.inputs import BackgroundOptions, Messages, StreamOptions, run_body
from agentflow.client.operations.operation import Operation, key_of
from agentflow.client.operations.pages import Page, Pages, Place
from agentflow.client.target import segment

type RunStatus = Literal["pending", "running", "success", "error", "interrupted", "cancelled"]


def create(thread_id: str, messages: Messages = (), **options: Unpack[BackgroundOptions]) -> Operation[Run]:
    """A run in the background; it survives a crash of whoever carries it out.

    Raises:
        ConflictError: `multitask_strategy` is reject, and the thread has a run that is not over.
    """
    return Operation(
        method="POST",
        path=_path(thread_id),
        read=_run,
        body=run_body(messages, options),
        idempotency_key=key_of(options.get("idempotency_key")),
        timeout_s=options.get("timeout_s"),
    )


def wait(
    thread_id: str, messages: Messages = (), **options: Unpack[BackgroundOptions]
) -> Operation[RunResult]:
    """The same, answered when the run is over. It goes on when nobody waits any more."""
    return Operation(
        method="POST",
        path=f"{_path(thread_id)}/wait",
        read=RunResult.model_validate,
        body=run_body(messages, options),
        idempotency_key=key_of(options.get("idempotency_key")),
        timeout_s=options.get("timeout_s"),
    )


def stream(thread_id: str, messages: Messages = (), **options: Unpack[StreamOptions]) -> RunChunks:
    """A run whose chunks are read as it goes on; a connection that breaks is made anew."""
    return RunChunks(
        method="POST",
        path=f"{_path(thread_id)}/stream",
        body={"response_granularity": "low", **run_body(messages, options)},
        idempotency_key=key_of(options.get("idempotency_key")),
        timeout_s=options.get("timeout_s"),
        thread_id=thread_id,
    )


def rejoin(thread_id: str, run_id: str, *, after: int | None = None) -> RunChunks:
    """What a run says behind a chunk, until it is over.

    Args:
        thread_id: Of the run.
        run_id: Of a run that is under way, or over not long ago.
        after: `seq` of the last chunk that is known; None for all of them.

    Raises:
        GoneError: Its chunks are kept no more.
    """
    return RunChunks(
        method="GET",
        path=chunks_path(thread_id, run_id),
        thread_id=thread_id,
        run_id=run_id,
        after=-1 if after is None else after,
    )


def list_runs(
    thread_id: str | None = None, *, status: RunStatus | None = None, page_size: int = 100
) -> Pages[Run]:
    """Runs, newest first.

    Args:
        thread_id: Of this thread; None for those of all of them.
        status: Those in it alone.
        page_size: How many a round trip brings, 1 to 1000.
    """
    path = "/v1/runs" if thread_id is None else _path(thread_id)

    def page(place: Place) -> Operation[Page[Run]]:
        query = {"status": status, "limit": page_size, "cursor": place}
        return Operation(method="GET", path=path, read=_runs, query=query)

    return Pages(page)


def get(thread_id: str, run_id: str) -> Operation[Run]:
    """A run as it stands."""
    return Operation(method="GET", path=_path(thread_id, run_id), read=_run)


def cancel(
    thread_id: str,
    run_id: str,
    *,
    action: Literal["interrupt", "rollback"] = "interrupt",
    wait: bool = False,
    idempotency_key: str | None = None,
) -> Operation[Run]:
    """Have a run end at its next node boundary.

    Args:
        thread_id: Of the run.
        run_id: Of the run.
        action: With rollback the thread is put back to before the run.
        wait: Answer when it is over.
        idempotency_key: Made when it is not given.

    Raises:
        ConflictError: It is over.
    """
    return Operation(
        method="POST",
        path=f"{_path(thread_id, run_id)}/cancel",
        read=_run,
        body={"action": action, "wait": wait},
        idempotency_key=key_of(idempotency_key),
    )


def join(thread_id: str, run_id: str) -> Operation[RunResult]:
    """Wait for a run's end, however long that takes."""
    return Operation(
        method="GET", path=f"{_path(thread_id, run_id)}/join", read=RunResult.model_validate, patient=True
    )


def chunks_path(thread_id: str, run_id: str) -> str:
    """Where a run's chunks are read."""
    return f"{_path(thread_id, run_id)}/stream"


def _path(thread_id: str, run_id: str | None = None) -> str:
    path = f"/v1/threads/{segment(thread_id)}/runs"
    return path if run_id is None else f"{path}/{segment(run_id)}"


def _run(data: Any) -> Run:
    return Run.model_validate(data["run"])


def _runs(data: Any) -> Page[Run]:
    return Page([Run.model_validate(run) for run in data["runs"]], data.get("next_cursor"))
