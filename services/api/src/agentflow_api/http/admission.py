"""Letting a request in: who it is, whether its quotas have room, and its tenant's turn."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from litestar import Request

from agentflow_api.http.credentials import provide_principal
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


class Admission:
    """A request of a tenant, let in for the length of a block, its body not read yet. Hot, so no generator.

    One round trip to Redis before the block, and another after a run.
    """

    __slots__ = ("_request", "_run", "_turn", "_wiring")

    def __init__(self, request: Request[Any, Any, Any], wiring: Wiring) -> None:
        """Not let in yet."""
        self._request = request
        self._wiring = wiring
        self._run: Run | None = None

    async def __aenter__(self) -> Principal:
        """The principal, once it is its turn.

        Raises:
            What `provide_principal` raises.
            QuotaExceededError: A quota is used up.
            QuotasUnavailableError: What was spent is not known.
            OverloadedError: Too many requests of the tenant wait.
        """
        request, wiring = self._request, self._wiring
        credential = await provide_principal(request, wiring)
        state, opt = request.scope["state"], request.route_handler.opt
        runs = bool(opt.get(RUNS))
        run: Run | None = None
        try:
            if runs:
                run = self._run = await wiring.quotas.enter(credential)
            elif opt.get(QUEUES):
                run = await wiring.quotas.queued(credential)
            state[_RUN] = run
            state[DECISION] = await wiring.quotas.request(credential) if run is None else run.decision
        except QuotaExceededError as error:
            state[REFUSAL], state[DECISION] = error, error.decision
            raise
        self._turn = wiring.turns.entered(credential.tenant.tenant_id, rests=runs or bool(opt.get(WAITS)))
        try:
            await self._turn.__aenter__()
        except BaseException:  # also when cancelled
            await self._leave()
            raise
        return credential

    async def __aexit__(self, *failure: object) -> None:
        """Leave its place and its run."""
        try:
            await self._turn.__aexit__(*failure)  # type: ignore[arg-type]  # handed on
        finally:
            await self._leave()

    async def _leave(self) -> None:
        if self._run is not None:
            await self._wiring.quotas.leave(self._run)


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
        See `Admission`; then, and when the block fails, it is left already, unless it was handed over.
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
