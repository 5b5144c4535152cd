"""Carrying out runs: from where they stand to their end, or to where somebody else goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

from agentflow.core.graph import Boundary, CompiledGraph
from agentflow.errors import (
    AgentFlowError,
    ConflictError,
    ResumeConflictError,
    RunOvertakenError,
    StaleCheckpointError,
    StorageError,
    StoreUnavailableError,
    ThreadBusyError,
)
from agentflow.utils.trace_context import below
from agentflow_hosting.agents.registry import AgentRegistry, UnknownAgentError
from agentflow_hosting.chunk_writer import ChunkWriter
from agentflow_hosting.invoke_request import InvokeRequest
from agentflow_hosting.principals import Principals
from agentflow_hosting.public_errors import INTERNAL, public_text
from agentflow_hosting.recording import Recording
from agentflow_hosting.remote_tools import RemoteTools
from agentflow_hosting.run_feed import RunFeed, Topic
from agentflow_hosting.run_repository import RunLostError, RunRepository
from agentflow_hosting.runs import CancelAction, RunRecord, RunStatus
from agentflow_tenancy import Principal, QuotaGuard, Run
from agentflow_tenancy.errors import (
    QuotaExceededError,
    QuotasUnavailableError,
    TenancyError,
    TenantSuspendedError,
)
from agentflow_tenancy.quotas import CONCURRENT_RUNS

logger = logging.getLogger("agentflow.runs")

# A run that took this many processes with it is not begun again.
MOST_CRASHES: Final = 5
# So long a thread stays locked for a process that died; a takeover waits for it and for the run's own lease.
THREAD_LEASE_S: Final = 6.0
# A background run waits this long inside a worker for its thread; then others may use the place.
_LOCK_WAIT_S: Final = 2.0
_COME_BACK_S: Final = 1.0
# Who is asked to stop may not have begun; it is asked again.
_ASK_AGAIN_S: Final = 0.5
# A node that does not end is not waited for any longer once its run is cancelled.
_CANCEL_GRACE_S: Final = 5.0
# Another run was faster, or the store is away: nothing is lost, and it is tried again.
_FOR_NOW: Final = (ConflictError, StoreUnavailableError)
# Of those, what no waiting changes: somebody went on with the thread, or answered before.
_FOR_GOOD: Final = (RunOvertakenError, ResumeConflictError)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended.

    Attributes:
        status: The run's; None puts it back.
        error: What went wrong; `public` says it to clients.
        after_s: Until it is tried again, when it was put back.
    """

    status: RunStatus | None
    error: Exception | None = None
    public: dict[str, Any] | None = None
    after_s: float = 0.0


class RunExecutor:
    """Carries out runs of one process, any number at once."""

    def __init__(
        self,
        repository: RunRepository,
        agents: AgentRegistry,
        principals: Principals,
        quotas: QuotaGuard,
        feed: RunFeed,
        *,
        remote_tools: RemoteTools | None = None,
        on_end: Callable[[RunRecord], Awaitable[None]] | None = None,
    ) -> None:
        """Nothing is at work.

        Args:
            repository: Where runs are.
            agents: What they run.
            principals: Who they act as.
            quotas: Room for a run, for as long as it is at work.
            feed: Who reads along.
            remote_tools: Tools that run at clients.
            on_end: Told of each run that is over.
        """
        self.repository = repository
        self.agents = agents
        self.feed = feed
        self._principals = principals
        self._quotas = quotas
        self.remote_tools = remote_tools
        self._on_end = on_end
        self._attempts: set[_Attempt] = set()
        self.stopping = False

    async def execute(self, run: RunRecord) -> None:
        """Carry out a run that was taken. Does not raise, but when cancelled; then it was put back."""
        with self.feed.at_work(run.run_id) as topic, below(run.traceparent):
            await self._finish(run, await self._admitted(run, topic))

    async def execute_for(
        self,
        run: RunRecord,
        principal: Principal,
        budget: Run,
        *,
        began: asyncio.Event,
        recording: Recording | None = None,
    ) -> Exception | None:
        """Carry out a run that its own request holds, which the quotas let in already.

        Args:
            run: Made with a holder.
            principal: Who asks.
            budget: What it may spend.
            began: Set once its input is durable.
            recording: Of the run's record, when it is being made only now: its input waits for that.

        Returns:
            What it, or making its record, failed with, if it did.
        """
        with self.feed.at_work(run.run_id) as topic:
            ending = await self._attempt(run, principal, budget, topic, began, recording)
            if recording is not None and (failure := await recording.failure()) is not None:
                return failure
            if ending.status == "error" and not began.is_set():
                # Nothing came of it but the answer to its own request, which may ask for it again.
                await self._forget(run)
            else:
                await self._finish(run, ending)
            return ending.error

    async def stop(self) -> None:
        """Have every run stop at its next node boundary, durable, and put it back for somebody else.

        Returns when none is at work here any more.
        """
        self.stopping = True
        while self._attempts:
            for attempt in list(self._attempts):
                attempt.ask_to_stop()
            await asyncio.sleep(_ASK_AGAIN_S / 5)

    async def _admitted(self, run: RunRecord, topic: Topic) -> Ending:
        if run.crashes >= MOST_CRASHES:
            reason = f"The run was given up: {run.crashes} processes ended while they worked on it."
            return _failed("RUN_GIVEN_UP", reason)
        async with AsyncExitStack() as stack:
            try:
                principal = await self._principals.of(run)
                budget = await stack.enter_async_context(self._quotas.run(principal))
            except TenantSuspendedError as error:
                return _failed(error.code, str(error))
            except QuotaExceededError as error:
                if error.decision.quota != CONCURRENT_RUNS:
                    return _failed(error.code, str(error))
                return Ending(None, error, after_s=max(_COME_BACK_S, min(error.retry_after_s, 10)))
            except (QuotasUnavailableError, StorageError) as error:
                return Ending(None, error, after_s=_COME_BACK_S)
            return await self._attempt(run, principal, budget, topic, None)

    async def _attempt(
        self,
        run: RunRecord,
        principal: Principal,
        budget: Run,
        topic: Topic,
        began: asyncio.Event | None,
        recording: Recording | None = None,
    ) -> Ending:
        try:
            graph = self.agents.find(run.agent, principal.tenant.agents)
        except UnknownAgentError as error:
            return _failed(error.code, str(error), error)
        attempt = _Attempt(
            self, run, principal, budget, graph=graph, topic=topic, began=began, recording=recording
        )
        self._attempts.add(attempt)
        try:
            return await attempt.carry_out()
        finally:
            self._attempts.discard(attempt)

    async def _forget(self, run: RunRecord) -> None:
        with suppress(StoreUnavailableError):
            await self.repository.forget(run)

    async def _finish(self, run: RunRecord, ending: Ending) -> None:
        """Say how it ended; nobody is told what could not be written: then somebody else takes it over."""
        try:
            if ending.status is None:
                await self.repository.put_back(run, ending.after_s)
                return
            ended = await self.repository.end(run, ending.status, ending.public)
            if ended is None:  # said before, with a reply that was lost; or not ours any more
                ended = await self.repository.get(run.tenant_id, run.run_id)
        except StoreUnavailableError as error:
            logger.warning("The end of run %s could not be written: %s", run.run_id, error)
            return
        if self._on_end is not None and ended is not None and ended.is_over:
            await self._on_end(ended)


class _Attempt:
    """One attempt at a run; used once."""

    def __init__(
        self,
        executor: RunExecutor,
        run: RunRecord,
        principal: Principal,
        budget: Run,
        *,
        graph: CompiledGraph[Any],
        topic: Topic,
        began: asyncio.Event | None,
        recording: Recording | None,
    ) -> None:
        self._executor = executor
        self._repository = executor.repository
        self._run = run
        self._principal = principal
        self._budget = budget
        self._graph = graph
        self._began = began
        self._recording = recording
        self._cancel: CancelAction | None = run.cancel
        self._asking: asyncio.Task[None] | None = None
        self._work: asyncio.Task[Ending] | None = None
        self._writer = ChunkWriter(
            executor.repository,
            run,
            principal,
            executor.feed,
            topic,
            on_cancel=self._cancelled,
            on_lost=self._give_up,
        )

    async def carry_out(self) -> Ending:
        """To the end of the run, or of this attempt at it."""
        if self._cancel is not None:
            return await self._after_cancel()
        self._work = asyncio.create_task(self._go())
        if self._recording is not None:
            self._recording.on_failure(self._give_up)
        beating = asyncio.create_task(self._beat())
        try:
            await asyncio.wait([self._work])
            return await self._outcome(self._work)
        except asyncio.CancelledError:
            # The process ends before the run could: somebody else goes on from its last durable step.
            self._work.cancel()
            await asyncio.wait([self._work])
            await asyncio.shield(self._put_back())
            raise
        finally:
            beating.cancel()
            if self._asking is not None:
                self._asking.cancel()
            await asyncio.gather(beating, *filter(None, [self._asking]), return_exceptions=True)
            await self._writer.abandon()

    def ask_to_stop(self) -> None:
        """At the next node boundary; at once while nothing of it is durable. Returns at once."""
        if not self._writer.began:
            self._give_up()
        elif self._asking is None:
            self._asking = asyncio.create_task(self._ask())

    # --- inside -----------------------------------------------------------------------------------------

    async def _put_back(self) -> None:
        if self._recording is None or await self._recording.failure() is None:
            await self._executor._finish(self._run, Ending(None))  # noqa: SLF001 - its own part

    async def _recorded(self) -> None:
        """No input without its run: somebody else must find one that this process leaves behind."""
        if self._recording is not None:
            self._run = await self._recording.made()

    async def _go(self) -> Ending:
        run = self._run
        if run.attempts > 1 or run.chunks:
            await self._writer.recall()
        request = InvokeRequest.model_validate(run.input)
        if self._budget.no_new_thread and not await self._graph.checkpointer.get_thread(
            self._principal.scope, run.thread_id
        ):
            self._budget.refuse_new_thread()
        config = self._config(request)
        if self._executor.remote_tools is not None:
            config["remote_tools"] = await self._executor.remote_tools.for_run(
                self._graph, run.tenant_id, run.agent
            )
        result = await self._graph.ainvoke(
            request.given(),
            config,
            response_granularity=request.response_granularity,
            on_chunk=self._writer.put,
            before_input=None if self._recording is None else self._recorded,
        )
        await self._writer.flush()
        return await self._ending_of(result)

    def _config(self, request: InvokeRequest) -> dict[str, Any]:
        run = self._run
        config = request.open_config() | {
            "thread_id": run.thread_id,
            "run_id": str(run.run_id),
            "recursion_limit": request.recursion_limit,
            "scope": self._principal.scope,
            "user_id": self._principal.user_id,
            "token_budget": _Watched(self._budget, self._has_begun),
        }
        if run.kind == "background":
            config["lock_wait"] = _LOCK_WAIT_S
        if run.attempts > 1:
            config["rejoin_since"] = run.created_at
        if run.strategy != "enqueue" and not (run.kind == "background" and run.strategy == "reject"):
            config["when_busy"] = run.strategy
        return config

    def _has_begun(self) -> None:
        self._writer.began = True
        if self._began is not None:
            self._began.set()

    async def _ending_of(self, result: dict[str, Any]) -> Ending:
        meta = result["meta"]
        if meta["status"] == "completed":
            # Asked for too late to stop it: what a rollback asked for is done all the same.
            return await self._after_cancel() if self._cancel == "rollback" else Ending("success")
        if meta["interrupt_reason"] != "stop_requested":
            return Ending("interrupted")
        if self._cancel is not None:
            return await self._after_cancel()
        return Ending(None) if self._executor.stopping else Ending("interrupted")

    async def _after_cancel(self) -> Ending:
        if self._cancel == "rollback":
            config = {
                "thread_id": self._run.thread_id,
                "run_id": str(self._run.run_id),
                "rejoin_since": self._run.created_at,
                "scope": self._principal.scope,
                "token_budget": self._budget,
            }
            try:
                await self._graph.aundo(config)
            except (ThreadBusyError, StaleCheckpointError, StorageError) as error:
                return Ending(None, error, after_s=_COME_BACK_S)
            except ConflictError as error:
                logger.warning("Run %s is not undone: %s", self._run.run_id, error)
        return Ending("cancelled")

    async def _outcome(self, work: asyncio.Task[Ending]) -> Ending:
        if work.cancelled():
            lost = self._writer.lost
            if isinstance(lost, RunLostError | StoreUnavailableError):
                return Ending(None)  # somebody else's by now, or soon
            if lost is not None:
                return await self._fails(lost)
            return await self._after_cancel() if self._cancel is not None else Ending(None)
        error = work.exception()
        if error is None:
            return work.result()
        if not isinstance(error, Exception):
            raise error
        return await self._ending_after(error)

    async def _ending_after(self, error: Exception) -> Ending:
        if isinstance(error, RunLostError):
            return Ending(None)
        if self._cancel is not None:
            return await self._after_cancel()
        if self._may_wait and isinstance(error, _FOR_NOW) and not isinstance(error, _FOR_GOOD):
            return Ending(None, error, after_s=_COME_BACK_S)
        return await self._fails(error)

    async def _fails(self, error: Exception) -> Ending:
        code = getattr(error, "code", None)
        if isinstance(error, AgentFlowError | TenancyError) and code is not None:
            reason = public_text(error, self._principal.stored_id(""))
            log: Callable[..., None] = logger.info
        else:
            code, reason, log = "INTERNAL_ERROR", INTERNAL, logger.error
        log("Run %s failed: %s", self._run.run_id, type(error).__name__, exc_info=error)
        if self._may_wait and self._writer.lost is None:
            self._writer.put_error(reason, timestamp=time.time())
            with suppress(RunLostError, StorageError):
                await self._writer.flush()
        return Ending("error", error, {"code": code, "message": reason})

    @property
    def _may_wait(self) -> bool:
        """Whether no request waits for its first word: a failure is no answer then, and may pass."""
        return self._began is None or self._writer.began

    async def _beat(self) -> None:
        """Go on holding the run while it says nothing."""
        if self._recording is not None and await self._recording.failure() is not None:
            return
        while True:
            await asyncio.sleep(self._repository.lease_s / 3)
            try:
                cancel = await self._repository.hold(self._run)
            except RunLostError as error:
                self._writer.lost = error
                self._give_up()
                return
            except StoreUnavailableError:
                continue
            if cancel is not None:
                self._cancelled(cancel)

    def _cancelled(self, action: CancelAction) -> None:
        if self._cancel is None:
            self._cancel = action
            self.ask_to_stop()
            asyncio.get_running_loop().call_later(_CANCEL_GRACE_S, self._give_up)

    def _give_up(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def _ask(self) -> None:
        config = {"thread_id": self._run.thread_id, "scope": self._principal.scope}
        while True:
            with suppress(AgentFlowError):
                await self._graph.astop(config)
            await asyncio.sleep(_ASK_AGAIN_S)


class _Watched:
    """A budget that tells of the first boundary: then the run's input is durable."""

    def __init__(self, budget: Run, begins: Callable[[], None]) -> None:
        self._budget = budget
        self._begins = begins

    @property
    def exhausted(self) -> bool:
        """See `Budget`."""
        return self._budget.exhausted

    def spend(self, boundary: Boundary) -> None:
        """See `Budget`."""
        self._begins()
        self._budget.spend(boundary)


def _failed(code: str, reason: str, error: Exception | None = None) -> Ending:
    return Ending("error", error, {"code": code, "message": reason})
