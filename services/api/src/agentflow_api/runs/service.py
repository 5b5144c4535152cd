"""Making runs, and what becomes of them."""

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agentflow.errors import StorageError, ThreadBusyError
from agentflow.utils.trace_context import traceparent
from agentflow_api.graph.service import bound, check
from agentflow_api.http.idempotency import Effect
from agentflow_api.http.problems import ConflictingError, InvalidBodyError, NotThereError, StoppingError
from agentflow_api.runs.schemas import RunRequest
from agentflow_api.wiring import Wiring
from agentflow_hosting.invoke_request import InvokeRequest
from agentflow_hosting.recording import Recording
from agentflow_hosting.run_reader import ChunksGoneError
from agentflow_hosting.run_repository import QueueFullError
from agentflow_hosting.runs import CancelAction, NewRun, RunKind, RunRecord
from agentflow_hosting.views import result_view
from agentflow_hosting.webhook_sender import WebhookUrlError, check_webhook_url
from agentflow_tenancy import Principal, QuotaExceededError, Run
from agentflow_tenancy.quota_spans import note_refusal
from agentflow_tenancy.quotas import QUEUED_RUNS, Decision, Standing

_MISSING = "There is no such run."
# A full queue has room again when a run begins: nobody knows when that is.
_QUEUE_MOVES_S = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that is to be made.

    Attributes:
        agent: Name of a hosted agent.
        thread_id: As the tenant knows it.
        asked: What to run.
        effect: Names it; one that was made before under this name is that run.
    """

    agent: str
    thread_id: str
    asked: InvokeRequest
    effect: Effect


class RunConflictError(ConflictingError):
    """The thread has a run that is not over, and the new one wants to be alone."""

    code = "RUN_CONFLICT"


class RunOverError(ConflictingError):
    """There is nothing left to cancel."""

    code = "RUN_OVER"


async def make(wiring: Wiring, principal: Principal, wanted: Wanted, budget: Run) -> RunRecord:
    """A run that waits for a worker.

    Args:
        wiring: The process's parts.
        principal: Who asks.
        wanted: What to run.
        budget: What the quotas said: whether it may make its thread.

    Raises:
        QuotaExceededError: There is no room for a new thread, or for another run that waits.
        RunConflictError: It wants to be alone on its thread, and is not.
        InvalidBodyError: See `graph.service.check`.
    """
    new = await _new(wiring, principal, wanted, "background")
    if budget.no_new_thread and not await wiring.store.get_thread(principal.scope, new.thread_id):
        budget.refuse_new_thread()
    return await _created(wiring, principal, new, holder=None)


async def start(wiring: Wiring, principal: Principal, wanted: Wanted, budget: Run) -> RunRecord:
    """A run that this process carries out, whoever goes on listening; returns once it has said something.

    Args:
        wiring: The process's parts.
        principal: Who asks.
        wanted: What to run; a run that was made before is followed, wherever it is carried out.
        budget: With which the quotas let it in; left at the run's end.

    Raises:
        ChunksGoneError: It was made before, and there is nothing of it any more.
        What the run failed with before it said anything.
    """
    if wanted.effect.is_done:
        made = await wiring.run_repository.get(principal.tenant.tenant_id, wanted.effect.effect_id)
        if made is None:  # it went with its thread, or long after its end
            raise ChunksGoneError
        await wiring.quotas.leave(budget)
        return made
    new = await _new(wiring, principal, wanted, "stream")
    if wiring.executor.stopping:
        raise StoppingError("This process is being replaced; try again.")
    holder = uuid.uuid4()
    making = _created(wiring, principal, new, holder=holder)
    recording: Recording | None = None
    if _begins_meanwhile(new, wanted.effect):
        run, recording = new.begun(holder), Recording(making)
    else:
        run = await making
        if run.holder != holder:
            await wiring.quotas.leave(budget)
            return run
    began = asyncio.Event()
    budget.handed_over = True
    work = wiring.background.start(_carry_out(wiring, run, principal, budget, began, recording))
    beginning = asyncio.create_task(began.wait())
    try:
        await asyncio.wait({work, beginning}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        beginning.cancel()
    if work.done() and not began.is_set() and (error := work.result()) is not None:
        raise error
    return run if recording is None else await recording.made()


async def find(wiring: Wiring, principal: Principal, thread_id: str | None, run_id: str) -> RunRecord:
    """One of the principal's runs.

    Raises:
        NotThereError: There is none of that id, there.
    """
    try:
        wanted = uuid.UUID(run_id)
    except ValueError:
        raise NotThereError(_MISSING) from None
    run = await wiring.run_repository.get(principal.tenant.tenant_id, wanted, user_id=principal.user_id)
    if run is None or (thread_id is not None and run.thread_id != thread_id):
        raise NotThereError(_MISSING)
    return run


async def cancel(wiring: Wiring, principal: Principal, run: RunRecord, action: CancelAction) -> RunRecord:
    """Have a run end.

    Raises:
        RunOverError: It is over.
    """
    asked = await wiring.run_repository.cancel(run.tenant_id, run.run_id, action)
    if asked is None:
        raise RunOverError("This run is over.")
    if not asked.is_over:
        await _tell_to_stop(wiring, principal, asked)
    return asked


async def result(wiring: Wiring, principal: Principal, run: RunRecord) -> Any:
    """What a run left behind, as an invoke answers; None when it wrote nothing."""
    if run.attempts == 0:
        return None
    request = InvokeRequest.model_validate(run.input)
    graph = wiring.agents.find(run.agent, None)
    found = await graph.aresult(
        {
            "thread_id": run.thread_id,
            "run_id": str(run.run_id),
            "rejoin_since": run.created_at,
            "scope": principal.scope,
        },
        response_granularity=request.response_granularity,
    )
    return None if found is None else result_view(found, principal, principal.public_id(run.thread_id))


def _begins_meanwhile(new: NewRun, effect: Effect) -> bool:
    """Whether the run may get its thread while its record is being made.

    Not when the record says whether there is such a run at all, or has others stopped first.
    """
    return new.strategy == "enqueue" and effect.since is None


async def _new(wiring: Wiring, principal: Principal, wanted: Wanted, kind: RunKind) -> NewRun:
    check(wanted.asked)
    stored_id = principal.stored_id(wanted.thread_id)
    asked = await bound(wiring, principal, wanted.asked, stored_id)
    more: dict[str, Any] = {}
    if isinstance(asked, RunRequest):
        more = {
            "strategy": asked.multitask_strategy,
            "metadata": asked.metadata,
            "after_s": asked.after_s,
            "webhook": asked.webhook,
        }
    return NewRun(
        tenant_id=principal.tenant.tenant_id,
        run_id=wanted.effect.effect_id,
        thread_id=stored_id,
        user_id=principal.user_id,
        key_id=principal.key_id,
        agent=wanted.agent,
        input=asked.as_data(),
        kind=kind,
        most_queued=principal.tenant.limits.at_most(principal.limits).queued_runs,
        traceparent=traceparent(),
        **more,
    )


async def _created(
    wiring: Wiring, principal: Principal, new: NewRun, *, holder: uuid.UUID | None
) -> RunRecord:
    if new.webhook is not None:
        _check_webhook(new.webhook, allow_private=wiring.settings.allow_private_webhooks)
    try:
        made = await wiring.run_repository.create(new, holder=holder)
    except QueueFullError as error:
        note_refusal(principal.tenant, QUEUED_RUNS)
        raise _no_room(error.most) from error
    if made is None:
        raise RunConflictError("The thread has a run that is not over; wait for it, or cancel it.")
    run, _ = made
    if new.strategy in ("interrupt", "rollback"):
        action: CancelAction = "rollback" if new.strategy == "rollback" else "interrupt"
        others = await wiring.run_repository.open_of_thread(run.tenant_id, run.thread_id, but=run.run_id)
        for other in others:
            if other.order_no < run.order_no:
                with suppress(RunOverError):
                    await cancel(wiring, principal, other, action)
    return run


def _no_room(most: int) -> QuotaExceededError:
    standing = Standing(QUEUED_RUNS, limit=most, window_s=None, remaining=0, reset_s=None)
    return QuotaExceededError(Decision(False, QUEUED_RUNS, _QUEUE_MOVES_S, made=lambda: (standing,)))


async def _tell_to_stop(wiring: Wiring, principal: Principal, run: RunRecord) -> None:
    """At its next node boundary, also when whoever holds it would hear of it later only."""
    wiring.feed.tell_others(run.run_id)
    # One that has said nothing yet may wait for its thread, and somebody else would be stopped in its place.
    if run.status == "running" and run.chunks:
        with suppress(StorageError, ThreadBusyError):
            await wiring.store.request_stop(principal.scope, run.thread_id)


async def _carry_out(
    wiring: Wiring,
    run: RunRecord,
    principal: Principal,
    budget: Run,
    began: asyncio.Event,
    recording: Recording | None,
) -> Exception | None:
    try:
        return await wiring.executor.execute_for(run, principal, budget, began=began, recording=recording)
    finally:
        await wiring.quotas.leave(budget)


def _check_webhook(url: str, *, allow_private: bool) -> None:
    try:
        check_webhook_url(url, allow_private=allow_private)
    except WebhookUrlError as error:
        problem = f"This address is not told of runs: {error}."
        details = [{"loc": ["body", "webhook"], "msg": problem, "type": "value_error"}]
        raise InvalidBodyError(problem, details) from error
