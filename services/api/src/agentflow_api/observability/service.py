"""Reading what a run did: from its stored spans, and where there are none from its checkpoints."""

import uuid
from typing import Any, Final

from agentflow.errors import CheckpointNotFoundError
from agentflow_api.observability.known_runs import KnownRun, known_runs
from agentflow_api.observability.views import run_by_checkpoints, run_by_trace
from agentflow_api.wiring import Wiring
from agentflow_tenancy import Principal

_UNKNOWN: Final = "unknown"
_RUNNING: Final = "running"
_CANCELLED: Final = "cancelled"


async def observed(
    wiring: Wiring, principal: Principal, thread_id: str, run_id: str | None
) -> dict[str, Any]:
    """The runs of a stored thread, newest first, and one of them or the latest; None if there is no such one.

    Raises:
        ThreadNotFoundError: There is no such thread.
    """
    if wiring.trace_writer is not None:
        await wiring.trace_writer.flush()  # what ended here a moment ago
    runs = await known_runs(wiring.store, principal.scope, thread_id)
    asked = next(iter(runs), None) if run_id is None else run_id
    run = None if asked is None else runs.get(asked)
    shown = None if run is None else await _run(wiring, principal, thread_id, run)
    return {"run_count": len(runs), "run_ids": list(runs), "run": shown}


async def _run(wiring: Wiring, principal: Principal, thread_id: str, run: KnownRun) -> dict[str, Any]:
    public_id = principal.public_id(thread_id)
    trace = await wiring.traces.get(principal.tenant.tenant_id, thread_id, run.run_id)
    if trace is not None and trace.head >= run.head and trace.status != _CANCELLED:
        return run_by_trace(run.run_id, public_id, trace)
    # It is under way or may go on, or went on after what is stored of it, or nothing was told of its end.
    status = await _status(wiring, principal, thread_id, run)
    if trace is not None:
        status = _CANCELLED if status == _UNKNOWN and trace.head >= run.head else status
        return run_by_trace(run.run_id, public_id, trace, status)
    ledger = await wiring.store.tool_calls(principal.scope, thread_id)
    tools = sum(call.run_id == run.run_id for call in ledger)
    return run_by_checkpoints(run, public_id, status, tools)


async def _status(wiring: Wiring, principal: Principal, thread_id: str, run: KnownRun) -> str:
    """As its last checkpoint has it; one that was under way runs only if somebody is known to hold it."""
    try:
        then = await wiring.store.load_at(principal.scope, thread_id, run.head)
    except CheckpointNotFoundError:  # forgotten in the meantime
        return _UNKNOWN
    meta = then.fields.get("execution_meta")
    status = meta.get("status") if isinstance(meta, dict) else None
    if not isinstance(status, str):
        return _UNKNOWN
    if status != _RUNNING:
        return status
    return _RUNNING if run.is_latest and await _is_held(wiring, principal, thread_id, run) else _UNKNOWN


async def _is_held(wiring: Wiring, principal: Principal, thread_id: str, run: KnownRun) -> bool:
    tenant_id = principal.tenant.tenant_id
    writer = wiring.trace_writer
    if writer is not None and writer.collector.is_at_work(tenant_id, thread_id, run.run_id):
        return True
    try:
        record = await wiring.run_repository.get(tenant_id, uuid.UUID(run.run_id))
    except ValueError:
        return False
    return record is not None and record.status == _RUNNING
