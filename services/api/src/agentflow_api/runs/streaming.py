"""Chunks on the wire: a JSON object a line, or server-sent events."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final

from litestar import Request

from agentflow.errors import StoreUnavailableError
from agentflow_api.http.fields import field_of
from agentflow_api.http.long_answers import LongAnswer
from agentflow_api.http.request_ids import request_id
from agentflow_api.runs.service import RunOverError, cancel
from agentflow_api.wiring import Wiring
from agentflow_hosting.runs import Chunk, RunRecord
from agentflow_tenancy import CredentialError, Principal, TenantSuspendedError

NDJSON: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"
_PING_EVERY_S: Final = 15.0
_PING: Final = ": ping\n\n"


def wants_events(request: Request[Any, Any, Any]) -> bool:
    """Whether the client asks for server-sent events."""
    return EVENTS in field_of(request, b"accept")


def streamed(
    wiring: Wiring,
    principal: Principal,
    run: RunRecord,
    *,
    after: int = -1,
    events: bool,
    cancels: bool = False,
) -> LongAnswer:
    """An answer that follows a run, for as long as its reader is let in.

    Args:
        wiring: The process's parts.
        principal: Who reads.
        run: What is read.
        after: Number of the last chunk the reader has.
        events: As server-sent events; otherwise a JSON object a line.
        cancels: Whether the run is cancelled when its reader goes away.
    """
    # What the run was asked is not kept for as long as somebody reads.
    slim = replace(run, input={}, metadata={})
    return LongAnswer(
        _texts(wiring, principal, slim, after, events, cancels),
        media_type=EVENTS if events else NDJSON,
        headers={
            "x-request-id": request_id(),
            "x-run-id": str(run.run_id),
            "x-thread-id": principal.public_id(run.thread_id).encode().decode("latin-1"),
            "cache-control": "no-store",
            "x-accel-buffering": "no",
        },
    )


async def _texts(
    wiring: Wiring, principal: Principal, run: RunRecord, after: int, events: bool, cancels: bool
) -> AsyncGenerator[str]:
    read_all = False
    try:
        # A reader who is let in no more sees the answer end.
        with suppress(CredentialError, TenantSuspendedError), wiring.gates.opened(principal) as gate:
            ping_every_s = _PING_EVERY_S if events else None
            following = wiring.reader.follow(run, after=after, gate=gate, ping_every_s=ping_every_s)
            async with aclosing(following):
                async for chunk in following:
                    yield _event(chunk) if events else _line(chunk)
            read_all = True
            if events:
                yield await _end(wiring, run)
    finally:
        if cancels and not read_all:
            wiring.background.start(_cancel(wiring, principal, run))


def _line(chunk: Chunk | None) -> str:
    return "" if chunk is None else chunk.body + "\n"


def _event(chunk: Chunk | None) -> str:
    if chunk is None:
        return _PING
    return f"id: {chunk.seq}\nevent: {json.loads(chunk.body)['event']}\ndata: {chunk.body}\n\n"


async def _end(wiring: Wiring, run: RunRecord) -> str:
    ended = await wiring.run_repository.get(run.tenant_id, run.run_id)
    status = None if ended is None else ended.status
    return f"event: end\ndata: {json.dumps({'run_id': str(run.run_id), 'status': status})}\n\n"


async def _cancel(wiring: Wiring, principal: Principal, run: RunRecord) -> None:
    with suppress(RunOverError, StoreUnavailableError):
        await cancel(wiring, principal, run, "interrupt")
