"""Letting a request in: who it is, whether its quotas have room, and its tenant's turn."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from litestar import Request

from agentflow_api.http.doorkeeper import DECISION, REFUSAL
from agentflow_api.wiring import Wiring
from agentflow_tenancy import Principal, QuotaExceededError, Run

# A route's `opt` that says that it runs an agent.
RUNS: Final = "runs_an_agent"
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
    async with AsyncExitStack() as stack:
        try:
            if request.route_handler.opt.get(RUNS):
                run = await stack.enter_async_context(wiring.quotas.run(credential))
                state[_RUN], state[DECISION] = run, run.decision
            else:
                state[DECISION] = await wiring.quotas.request(credential)
        except QuotaExceededError as error:
            state[REFUSAL], state[DECISION] = error, error.decision
            raise
        await stack.enter_async_context(wiring.turns.entered(credential.tenant.tenant_id))
        yield credential


@asynccontextmanager
async def started_run(
    request: Request[Any, Any, Any], credential: Principal, wiring: Wiring
) -> AsyncGenerator[Run]:
    """A run let in for longer than its request: whoever carries it out has it left. A turn for the block.

    Raises:
        See `provide_admitted`; then, and when the block fails, it is left already.
    """
    state = request.scope["state"]
    try:
        run = await wiring.quotas.enter(credential)
    except QuotaExceededError as error:
        state[REFUSAL], state[DECISION] = error, error.decision
        raise
    state[DECISION] = run.decision
    try:
        async with wiring.turns.entered(credential.tenant.tenant_id):
            yield run
    except BaseException:  # also when cancelled: nobody carries it out
        await wiring.quotas.leave(run)
        raise


def run_of(request: Request[Any, Any, Any]) -> Run:
    """The run that was let in, on a route that says it runs an agent."""
    run: Run = request.scope["state"][_RUN]
    return run
