"""Letting a request in: who it is, whether its quotas have room, and its tenant's turn."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from litestar import Request

from agentflow_api.http.doorkeeper import DECISION, REFUSAL
from agentflow_api.wiring import Wiring
from agentflow_tenancy import Principal, QuotaExceededError, Run

# A route's `opt` that says that it runs an agent, or writes to a thread as a run does.
RUNS: Final = "runs_an_agent"
# One that says that it makes a run which begins later.
QUEUES: Final = "queues_a_run"
# One that says that it waits for a run.
WAITS: Final = "waits_for_a_run"
_RUN: Final = "quota_run"


async def provide_admitted(
    request: Request[Any, Any, Any], credential: Principal, wiring: Wiring
) -> AsyncGenerator[Principal]:
    """The principal, let in, until the handler is done. The body is not read yet.

    Raises:
        QuotaExceededError: A quota is used up.
        QuotasUnavailableError: What was spent is not known.
        OverloadedError: Too many requests of the tenant wait.

    One round trip to Redis before the handler, and another after a run.
    """
    state = request.scope["state"]
    opt = request.route_handler.opt
    runs = bool(opt.get(RUNS))
    run: Run | None = None
    try:
        if runs:
            run = await wiring.quotas.enter(credential)
        elif opt.get(QUEUES):
            run = await wiring.quotas.queued(credential)
        state[_RUN] = run
        state[DECISION] = await wiring.quotas.request(credential) if run is None else run.decision
    except QuotaExceededError as error:
        state[REFUSAL], state[DECISION] = error, error.decision
        raise
    try:
        async with wiring.turns.entered(credential.tenant.tenant_id, rests=runs or bool(opt.get(WAITS))):
            yield credential
    finally:
        if runs and run is not None:
            await wiring.quotas.leave(run)


@asynccontextmanager
async def started_run(
    request: Request[Any, Any, Any], credential: Principal, wiring: Wiring
) -> AsyncGenerator[Run]:
    """See `lent_run`; the answer tells of its quotas."""
    state = request.scope["state"]
    try:
        async with lent_run(credential, wiring) as run:
            state[DECISION] = run.decision
            yield run
    except QuotaExceededError as error:
        state[REFUSAL], state[DECISION] = error, error.decision
        raise


@asynccontextmanager
async def lent_run(credential: Principal, wiring: Wiring) -> AsyncGenerator[Run]:
    """A run let in for longer than its request: whoever carries it out has it left. A turn for the block.

    Raises:
        See `provide_admitted`; then, and when the block fails, it is left already, unless it was handed over.
    """
    run = await wiring.quotas.enter(credential)
    try:
        async with wiring.turns.entered(credential.tenant.tenant_id, rests=True):
            yield run
    except BaseException:  # also when cancelled
        if not run.handed_over:
            await wiring.quotas.leave(run)
        raise


def run_of(request: Request[Any, Any, Any]) -> Run:
    """The run that was let in, on a route that says it runs an agent or makes a run."""
    run: Run = request.scope["state"][_RUN]
    return run
