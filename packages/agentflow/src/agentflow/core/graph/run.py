"""One run of a graph on one thread: input, steps, end; durable at every boundary."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agentflow.core.graph.blame import UNSTORABLE, Blamed
from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.busy import Held, while_held
from agentflow.core.graph.config import RunConfig
from agentflow.core.graph.emitter import Emitter
from agentflow.core.graph.inputs import RunInput
from agentflow.core.graph.plan import Start, plan_start
from agentflow.core.graph.progress import Progress
from agentflow.core.graph.rejoin import EVER, earlier_attempt, is_over
from agentflow.core.graph.resume import meant
from agentflow.core.graph.rewind import before_last_run, is_to_be_undone
from agentflow.core.graph.step import Outcome, run_nodes
from agentflow.core.graph.thread import LiveThread
from agentflow.core.graph.tool_ledger import NodeTools, Place
from agentflow.core.graph.updates import BadUpdateError, Update, decode_update, encode_update, merge
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.codec import decode_message, decode_state
from agentflow.core.state.execution import STOP_REASON, ExecutionState, ExecutionStatus, StopRequestStatus
from agentflow.core.state.message import Message
from agentflow.core.state.pending_calls import check_results
from agentflow.errors import (
    AgentFlowError,
    ConflictError,
    CorruptStateError,
    GraphRecursionError,
    InvalidError,
    InvalidInputError,
    NodeEncodingError,
    NodeError,
    NodeResultError,
    RunOvertakenError,
    StaleCheckpointError,
    StorageError,
    TokenBudgetExceededError,
)
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.run_status import PendingInterrupt, new_interrupt
from agentflow.storage.checkpointer.types import Source
from agentflow.utils.constants import START
from agentflow.utils.interrupt import GraphInterrupt

logger = logging.getLogger("agentflow.graph")

# An input is tried on a cache's state, on the store's, and once more when somebody wrote in between.
_TRIES: Final = 3


@dataclass(slots=True)
class RunResult[S: AgentState]:
    """What a run left behind.

    Attributes:
        messages: This run's messages: its input, then what it produced.
    """

    state: S
    thread_id: str
    run_id: str
    is_new_thread: bool = False
    messages: list[Message] = field(default_factory=list)


class GraphRun[S: AgentState]:
    """Drives one run; used once.

    Every step is committed before the next one starts, or with a weaker durability at the latest
    before the run ends. Whatever ends it early, a node's error, a kill, a lost lock, leaves the last
    durable step as the thread's head, from where an invoke without messages goes on.
    """

    def __init__(
        self,
        blueprint: Blueprint[S],
        config: RunConfig,
        checkpointer: BaseCheckpointer,
        held: Held,
        emitter: Emitter,
        should_stop: Callable[[], bool],
    ) -> None:
        self._blueprint = blueprint
        self._config = config
        self._emitter = emitter
        self._should_stop = should_stop
        self._checkpointer = checkpointer
        self._held = held
        self._thread = LiveThread(blueprint, held.session, config.run_id, config.durability, config.budget)
        self._steps = self._given = 0
        self._began = False
        self._before_input = config.before_input
        self.result = RunResult(self._thread.state, config.thread_id, config.run_id)

    async def execute(self, given: RunInput) -> RunResult[S]:
        """Run until the end, a pause, or a stop.

        Raises:
            See `CompiledGraph.ainvoke`.
        """
        try:
            await self._begin(given)
            while not (self._thread.progress.done or self._thread.state.execution_meta.is_interrupted()):
                await self._step()
            await self._or_fail(self._thread.flush())
        except BaseException:  # also when cancelled: nothing may be written once the thread is let go
            await self._thread.abandon()
            raise
        self.result.state = self._thread.state
        self._emitter.update("graph_invoked", self._thread.state.execution_meta.current_node, self._steps)
        return self.result

    @property
    def thread(self) -> LiveThread[S]:
        """Where it stands."""
        return self._thread

    @property
    def steps(self) -> int:
        """How many it has taken."""
        return self._steps

    @property
    def produced(self) -> Sequence[Message]:
        """Messages that its nodes made."""
        return self.result.messages[self._given :]

    # --- the input ------------------------------------------------------------------------------

    async def _begin(self, given: RunInput) -> None:
        """Make the input durable before any node runs: nothing a user sent is lost."""
        tries = 0
        while True:
            tries += 1
            try:
                if tries == 1:
                    self._thread.open()
                else:
                    await self._thread.reload()
                await self._start(given)
                return
            except AgentFlowError as error:
                if tries == _TRIES or self._began or not self._rests_on_an_old_state(error):
                    raise
            # Nothing is stored and nothing has run: once more, on what the store holds.
            if not self._thread.from_cache:  # a cache may not know of what the caller answers
                given = meant(given, self._thread.progress, self._thread.state.execution_meta)

    async def _start(self, given: RunInput) -> None:
        if await self._rejoined():
            return
        if self._config.when_busy == "rollback":
            await self._undo_last_run(given)
        await self._accept(given)

    async def _rejoined(self) -> bool:
        """Go on with an earlier attempt of this run, if there is one; else it begins.

        Its messages count as this run's, whoever made them durable.
        """
        config, thread = self._config, self._thread
        if config.rejoin_since is None:
            return False
        earlier = await earlier_attempt(
            self._checkpointer, config.scope, config.thread_id, config.run_id, config.rejoin_since
        )
        if earlier is None:
            return False
        await thread.reload()
        messages = thread.messages_from(earlier.first_pos)
        if not earlier.is_latest:
            then = await self._checkpointer.load_at(config.scope, config.thread_id, earlier.last)
            thread.rewind(then)
            messages = [decode_message(row) for row in then.messages if row.pos >= earlier.first_pos]
        over = is_over(thread.state.execution_meta)
        if not (over or earlier.is_latest):
            raise RunOvertakenError(
                "Another run went on with the thread before this one had ended; "
                "what this one did is in the thread's history."
            )
        self.result.is_new_thread = self._emitter.is_new_thread = earlier.first == 1
        self._began = True
        self._report(START, messages)
        if not over:
            await self._accept(RunInput())
        return True

    def _rests_on_an_old_state(self, error: AgentFlowError) -> bool:
        """Whether the input was refused because of what was read, and not of what it is.

        Another process wrote a moment ago, or a cache was behind or broken. Not when the store gave no
        answer: it may have taken the input, which must not count twice.
        """
        if isinstance(error, StaleCheckpointError):
            return True
        unanswered = isinstance(error, StorageError) and not isinstance(error, CorruptStateError)
        return self._thread.from_cache and not unanswered

    async def _undo_last_run(self, given: RunInput) -> None:
        """Put the thread back to where the run that is in our way found it. History keeps both."""
        thread, config = self._thread, self._config
        await thread.reload()
        if thread.is_new or not is_to_be_undone(thread.state.execution_meta, was_busy=self._held.was_busy):
            return
        seq = await before_last_run(self._checkpointer, config.scope, config.thread_id)
        if seq is None:
            return
        await self._rewind(seq)
        plan_start(given, thread.progress, thread.state.execution_meta)  # a refused input undoes nothing
        await self._may_store()
        await thread.commit(thread.state, thread.progress, source="rollback", node="", parent=seq)

    async def _rewind(self, seq: int) -> None:
        config = self._config
        snapshot = await self._checkpointer.load_at(config.scope, config.thread_id, seq) if seq else None
        self._thread.rewind(snapshot)

    async def _accept(self, given: RunInput) -> None:
        thread, older = self._thread, None if self._began else self._config.checkpoint
        if older is not None:
            await self._rewind(older)
        if not self._began:
            self.result.is_new_thread = self._emitter.is_new_thread = thread.is_new
        start = plan_start(given, thread.progress, thread.state.execution_meta)
        check_results(thread.state.context, given.messages)
        try:
            state = merge(thread.state, [Update(reduce=given.updates)], self._blueprint.reducers)
        except BadUpdateError as error:
            raise InvalidInputError(f"The input holds {error}") from error
        progress = start.progress
        self._check_known(progress)
        if older is not None:
            progress.turn = thread.head + 1  # what ran after that version runs anew, its tools too
        meta = self._meta(thread.state.execution_meta, start)
        source: Source = "input" if older is None else "fork"
        if self._began:
            source = "update"  # an attempt goes on: it is the same run, and was counted
        if start.fresh:
            state.execution_meta = meta
            progress = replace(progress, next=await self._follow([START], state), turn=thread.head + 1)
        self._set_status(state, meta, progress, first=not start.fresh)
        await self._may_store()
        await self._commit(
            state,
            progress,
            source=source,
            node=START,
            parent=older,
            starts_run=True,
            replies=given.messages,
        )

    async def _may_store(self) -> None:
        """Wait for what the caller wants done first. What failed is asked again by another try."""
        if self._before_input is not None:
            await self._before_input()
            self._before_input = None

    def _check_known(self, progress: Progress) -> None:
        """Refuse to go on with a run of another graph, or of this one before a node was renamed.

        Raises:
            InvalidInputError: It stands at a node that this graph does not have.
        """
        topology = self._blueprint.topology
        strange = [node for node in (*progress.next, *progress.route) if node not in topology.nodes]
        if strange:
            raise InvalidInputError(
                f"The thread's unfinished run stands at {', '.join(strange)!r}, no node of this graph. "
                "Go on with the graph it was started with, or send messages to begin a new turn."
            )

    def _meta(self, before: ExecutionState, start: Start) -> ExecutionState:
        return ExecutionState(
            current_node=START if start.fresh else before.current_node,
            step=0 if start.fresh else before.step,
            thread_id=self._config.thread_id,
            internal_data={key: value for key, value in before.internal_data.items() if key != "error"},
        )

    # --- a step ---------------------------------------------------------------------------------

    async def _step(self) -> None:
        if self._steps >= self._config.recursion_limit:
            limit = self._config.recursion_limit
            error = GraphRecursionError(
                f"The run took {limit} steps without reaching END. Raise config['recursion_limit'] "
                "or look for a loop that never ends."
            )
            await self._record_failure(error)
            raise error
        await self._check_budget()
        self._steps += 1
        await self._or_fail(self._route_again() if self._thread.progress.route else self._run_nodes())

    async def _check_budget(self) -> None:
        budget = self._config.budget
        if budget is not None and budget.exhausted:
            error = TokenBudgetExceededError(
                "The token budget is used up: the run stopped before its next node, with its state saved. "
                "Run the thread again without messages, and with a budget, to go on."
            )
            await self._record_failure(error)
            raise error

    async def _or_fail(self, work: Awaitable[None]) -> None:
        """Leave word of an error of the run's own before it is raised."""
        try:
            await work
        except AgentFlowError as error:
            # What a tool's node made of the ledger's refusal tells less than the refusal itself.
            failure = self._failure(error)
            # Somebody else holds the thread, or nothing can be stored: it is left as it is.
            if not isinstance(failure, ConflictError | StorageError):
                await self._record_failure(failure)
            if failure is error:
                raise
            raise failure from error

    def _failure(self, error: AgentFlowError) -> AgentFlowError:
        found = self._thread.failure or error
        if isinstance(found, UNSTORABLE) and not isinstance(found, NodeError):
            # The input was stored before: it is something that the nodes at work made.
            return NodeEncodingError(found, node=",".join(self._thread.progress.runnable))
        return found

    async def _run_nodes(self) -> None:
        thread = self._thread
        waiting = thread.progress.runnable
        for node in waiting:
            self._emitter.update("invoking_node", node, self._steps)
        outcomes: dict[str, Outcome] = {}
        nodes = [self._blueprint.topology.nodes[node] for node in waiting]
        progress = thread.progress
        running = run_nodes(
            nodes, thread.state, thread.fields, self._config, self._emitter, progress.answers, self._tools
        )
        async with while_held(self._held.session), aclosing(running):
            async for ended in running:
                outcomes.update(ended)
                if len(outcomes) < len(waiting):
                    await self._keep_finished(outcomes)
        await self._end_step(outcomes)

    def _tools(self, node: str) -> NodeTools:
        thread, meta = self._thread, self._thread.state.execution_meta
        place = Place(
            tenant_id=self._config.scope.tenant_id,
            thread_no=thread.thread_no,
            turn=thread.progress.turn,
            step=thread.progress.since.get(node, meta.step),
            node=node,
        )
        return NodeTools(place, thread.start_tools, thread.finish_tool)

    async def _keep_finished(self, outcomes: dict[str, Outcome]) -> None:
        """Make a branch's result durable while its siblings still run, so that it never runs twice."""
        progress = self._with_finished(outcomes)
        if progress.finished.keys() != self._thread.progress.finished.keys():
            node = ",".join(progress.finished.keys() - self._thread.progress.finished.keys())
            await self._thread.commit(self._thread.state, progress, source="branch", node=node)

    async def _end_step(self, outcomes: dict[str, Outcome]) -> None:
        if pauses := self._pauses(outcomes):
            await self._pause(outcomes, pauses)
            return
        updates = self._updates(outcomes)
        names = list(updates)
        try:
            state = merge(self._thread.state, list(updates.values()), self._blueprint.reducers)
        except BadUpdateError as error:
            raise NodeResultError(
                f"Node {', '.join(names)!r} returned {error}", node=",".join(names)
            ) from error
        meta = self._next_meta(names)
        state.execution_meta = meta
        progress = self._then(route=names)
        try:
            progress = self._then(next=await self._next_nodes(updates, state))
            progress.since = self._since(updates)
        except NodeError:
            # The nodes did finish: keep what they did, and take their edges again on resume.
            await self._commit(state, progress, source="node", node=meta.current_node)
            raise
        self._set_status(state, meta, progress, finished=names)
        await self._commit(state, progress, source="node", node=meta.current_node)

    async def _route_again(self) -> None:
        """Take the edges that could not be taken when their nodes finished."""
        names = self._thread.progress.route
        state = self._thread.state.model_copy()
        progress = self._then(next=await self._follow(names, state))
        meta = self._next_meta(names, step=state.execution_meta.step)
        self._set_status(state, meta, progress, finished=names)
        await self._commit(state, progress, source="update", node=meta.current_node)

    def _pauses(self, outcomes: dict[str, Outcome]) -> list[PendingInterrupt]:
        """What the step waits for: what was asked in it before, and has no answer yet, and what is new."""
        pauses = {pause.node: pause for pause in self._thread.progress.pauses}
        for node, outcome in outcomes.items():
            if isinstance(outcome, GraphInterrupt):
                pauses[node] = new_interrupt(node, outcome.value)
        return [pauses[node] for node in self._blueprint.topology.ordered(pauses)]

    async def _pause(self, outcomes: dict[str, Outcome], pauses: list[PendingInterrupt]) -> None:
        progress = self._with_finished(outcomes)
        progress.pauses = pauses
        state = self._thread.state.model_copy()
        state.execution_meta = self._thread.state.execution_meta.model_copy(
            update={
                "status": ExecutionStatus.INTERRUPTED_BEFORE,
                "interrupted_node": pauses[0].node,
                "interrupt_reason": "interrupt",
                "interrupt_data": _shown(pauses),
            }
        )
        await self._commit(state, progress, source="node", node=",".join(pause.node for pause in pauses))

    # --- the pieces -----------------------------------------------------------------------------

    def _with_finished(self, outcomes: dict[str, Outcome]) -> Progress:
        before = self._thread.progress
        finished = dict(before.finished)
        for node, outcome in outcomes.items():
            if isinstance(outcome, Update) and node not in finished:
                with Blamed("branch", node):
                    finished[node] = encode_update(outcome)
        return replace(before, finished=finished, route=[])

    def _then(self, *, next: list[str] | None = None, route: list[str] | None = None) -> Progress:  # noqa: A002 - its name
        """What is left of the same turn, in a new step."""
        before = self._thread.progress
        return Progress(next=next or [], route=route or [], turn=before.turn, answered=before.answered)

    def _since(self, updates: dict[str, Update]) -> dict[str, int]:
        """For nodes that come back the step they began in."""
        before, step = self._thread.progress.since, self._thread.state.execution_meta.step
        return {node: before.get(node, step) for node, update in updates.items() if update.comes_back}

    def _updates(self, outcomes: dict[str, Outcome]) -> dict[str, Update]:
        """Every node of the step with its update, in the order nodes were added: merges are deterministic."""
        updates = {node: decode_update(data) for node, data in self._thread.progress.finished.items()}
        updates |= {node: outcome for node, outcome in outcomes.items() if isinstance(outcome, Update)}
        return {node: updates[node] for node in self._blueprint.topology.ordered(updates)}

    async def _next_nodes(self, updates: dict[str, Update], state: S) -> list[str]:
        topology = self._blueprint.topology
        along_edges = [node for node, update in updates.items() if update.goto is None]
        found = await self._follow(along_edges, state)
        for node, update in updates.items():
            if update.goto is not None:
                found += topology.goto(node, update.goto)
        return topology.ordered(found)

    async def _follow(self, nodes: list[str], state: S) -> list[str]:
        try:
            return await self._blueprint.topology.after(nodes, state)
        except NodeError:
            raise
        except Exception as error:  # a router is the user's code: an edge
            names = ", ".join(nodes)
            raise NodeError(
                f"A router after {names!r} failed: {type(error).__name__}: {error}", node=",".join(nodes)
            ) from error

    def _next_meta(self, nodes: list[str], step: int | None = None) -> ExecutionState:
        before = self._thread.state.execution_meta
        return before.model_copy(
            update={
                "current_node": ",".join(nodes),
                "step": before.step + 1 if step is None else step,
                "internal_data": dict(before.internal_data),
            }
        )

    def _set_status(
        self,
        state: S,
        meta: ExecutionState,
        progress: Progress,
        *,
        finished: list[str] | None = None,
        first: bool = False,
    ) -> None:
        """What the run is after this checkpoint: going on, at its end, or held by a breakpoint.

        `first`: the run goes on after such a breakpoint, which must not hold it again.
        """
        after = [node for node in finished or () if node in self._blueprint.interrupt_after]
        before = [] if first else [node for node in progress.next if node in self._blueprint.interrupt_before]
        meta.interrupted_node = meta.interrupt_reason = None
        waits = list(progress.pauses)  # those that the answers so far were not for
        if after:
            meta.status = ExecutionStatus.INTERRUPTED_AFTER
            meta.interrupted_node, meta.interrupt_reason = after[0], "interrupt_after"
            waits = [new_interrupt(",".join(after), reason="interrupt_after")]
        elif before:
            meta.status = ExecutionStatus.INTERRUPTED_BEFORE
            meta.interrupted_node, meta.interrupt_reason = before[0], "interrupt_before"
            waits = [new_interrupt(",".join(before), reason="interrupt_before")]
        else:
            meta.status = ExecutionStatus.COMPLETED if progress.done else ExecutionStatus.RUNNING
        meta.interrupt_data = _shown(waits)
        meta.stop_current_execution = StopRequestStatus.NONE
        state.execution_meta = meta

    async def _commit(
        self,
        state: S,
        progress: Progress,
        *,
        source: Source,
        node: str,
        starts_run: bool = False,
        parent: int | None = None,
        replies: list[Message] | None = None,
    ) -> None:
        committed, added = await self._thread.commit(
            state, progress, source=source, node=node, starts_run=starts_run, parent=parent
        )
        self._began = True
        self.result.state = self._thread.state
        self._report(node, added if replies is None else replies)
        meta = self._thread.state.execution_meta
        stop = committed.stop_requested or self._should_stop()
        if stop and not progress.done and meta.status is ExecutionStatus.RUNNING:
            await self._stop(node)

    def _report(self, node: str, messages: list[Message]) -> None:
        self.result.messages += messages
        if node == START:
            self._given = len(self.result.messages)
        for message in messages:
            self._emitter.message(message, node)
        self._emitter.state(self._thread.state, node)
        self._emitter.update("node_invoked", node, self._steps)

    async def _stop(self, node: str) -> None:
        state = self._thread.state.model_copy()
        state.execution_meta = self._thread.state.execution_meta.model_copy(
            update={
                "status": ExecutionStatus.INTERRUPTED_AFTER,
                "interrupted_node": node,
                "interrupt_reason": STOP_REASON,
                "stop_current_execution": StopRequestStatus.STOP_REQUESTED,
            }
        )
        await self._thread.commit(state, self._thread.progress, source="update", node=node)
        self.result.state = self._thread.state
        self._emitter.state(self._thread.state, node)

    async def _record_failure(self, error: AgentFlowError) -> None:
        """Leave word of the failure in the state; what was committed before stays."""
        thread = self._thread
        try:
            try:
                await self._commit_failure(error)
            except InvalidError:
                if not await thread.recover():
                    raise
                await self._commit_failure(error)
        except AgentFlowError as failure:
            logger.warning("The failure %s could not be recorded: %s", error.code, failure.code)
        self.result.state = thread.state

    async def _commit_failure(self, error: AgentFlowError) -> None:
        thread = self._thread
        node = error.node if isinstance(error, NodeError) else thread.state.execution_meta.current_node
        state = thread.state.model_copy()
        problem = {"code": error.code, "node": node, "message": str(error)[:2000]}
        state.execution_meta = thread.state.execution_meta.model_copy(
            update={
                "status": ExecutionStatus.ERROR,
                "internal_data": {**thread.state.execution_meta.internal_data, "error": problem},
            }
        )
        await thread.commit(state, thread.progress, source="update", node=node)
        await thread.flush()


def _shown(waits: list[PendingInterrupt]) -> dict[str, Any] | None:
    """The interrupts as the state shows them."""
    return {"interrupts": [one.as_data() for one in waits]} if waits else None


async def result_of[S: AgentState](
    blueprint: Blueprint[S], checkpointer: BaseCheckpointer, config: RunConfig
) -> RunResult[S] | None:
    """See `CompiledGraph.aresult`."""
    since = config.rejoin_since or EVER
    done = await earlier_attempt(checkpointer, config.scope, config.thread_id, config.run_id, since)
    if done is None:
        return None
    then = await checkpointer.load_at(config.scope, config.thread_id, done.last)
    context = [(row.pos, decode_message(row)) for row in then.messages]
    state = decode_state(blueprint.state_type, then.fields, [message for _, message in context])
    messages = [message for pos, message in context if pos >= done.first_pos]
    return RunResult(state, config.thread_id, config.run_id, done.first == 1, messages)
