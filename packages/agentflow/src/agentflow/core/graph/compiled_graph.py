"""A graph that runs."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.busy import Hold
from agentflow.core.graph.chunks import StreamChunk
from agentflow.core.graph.config import RunConfig, required_thread_id, run_config, scope_of
from agentflow.core.graph.editing import Making, adding, clearing, edit, fixing, merging, removing
from agentflow.core.graph.emitter import Emitter, Sink
from agentflow.core.graph.fork import Fork, fork
from agentflow.core.graph.importing import Imported, import_messages
from agentflow.core.graph.inputs import RunInput, run_input
from agentflow.core.graph.run import GraphRun, RunResult, result_of
from agentflow.core.graph.run_spans import NotingEnd, run_span
from agentflow.core.graph.undo import undo
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.codec import decode_message, decode_state
from agentflow.core.state.message import Message
from agentflow.errors import ExecutionError, ThreadNotFoundError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.types import BEGINNING, CheckpointInfo
from agentflow.utils.constants import ResponseGranularity
from agentflow.utils.sync import iterate_blocking, run_blocking

Config = Mapping[str, Any]
Input = Mapping[str, Any]


class CompiledGraph[S: AgentState]:
    """Runs a graph on threads that a checkpointer keeps.

    Every method exists twice: `a...` for asyncio, and a blocking one that runs it on one
    background loop of the process. Safe to use from many tasks and threads at once.
    """

    def __init__(self, blueprint: Blueprint[S], checkpointer: BaseCheckpointer) -> None:
        """Use `StateGraph.compile`."""
        self.blueprint = blueprint
        self.checkpointer = checkpointer
        self._running: set[asyncio.Task[RunResult[S]]] = set()
        self._closing = False

    # --- running --------------------------------------------------------------------------------

    async def ainvoke(
        self,
        input_data: Input | None = None,
        config: Config | None = None,
        *,
        response_granularity: ResponseGranularity | str = ResponseGranularity.LOW,
        on_chunk: Sink | None = None,
        before_input: Callable[[], Awaitable[None]] | None = None,
    ) -> dict[str, Any]:
        """Run to the end, a pause or a stop, each step durable before the next.

        Args:
            input_data: `{"messages": [...]}`; also `state` (a partial dict), any state field by name,
                `resume` (the answer to an interrupt, or a dict of interrupt id -> answer), `resume_id` (the
                interrupt that `resume` is for). None or {} goes on with an unfinished run.
            config: `thread_id`, `user_id`, `run_id`, `recursion_limit` (25), `node_timeout` and
                `tool_timeout` (seconds), `lock_wait` (seconds to wait while another run holds the
                thread), `when_busy` ("enqueue": wait for it; "reject": `ThreadBusyError` at once;
                "interrupt": have it stopped at its next node boundary, keep what it did; "rollback": the
                same, and undo what it did), `checkpoint` (version to run from instead of the latest),
                `durability` ("sync": each step durable before the next; "async": in order while the next
                runs; "exit": the input, then all of it when the run rests), `rejoin_since` (a datetime: an
                attempt of the same `run_id` may have begun since then, and is gone on with, or answered from
                if it is over, instead of beginning anew), `scope` or `tenant_id`;
                everything else is handed to the nodes as it is.
            response_granularity: `low` messages of this run only; `partial` also `context` and
                `context_summary`; `full` also `state`.
            on_chunk: Called with each chunk that `astream` would yield, when it comes; must not block.
            before_input: Awaited once the thread is held and read and the input is found good, before
                anything is stored. What it raises ends the run, with nothing stored.

        Returns:
            `{"messages": [...], "meta": {"thread_id", "run_id", "is_new_thread", "status",
            "interrupt_reason", "interrupts"}, ...}`; the reason is "stop_requested" for a run that was
            stopped, the interrupts are what it waits for: `{"id", "node", "value", "reason", "created_at"}`.

        Raises:
            InvalidInputError: Input or config cannot be used; the message says what to change.
            AmbiguousResumeError: One answer, and several interrupts wait.
            ResumeConflictError: The interrupt to be answered does not wait: `InterruptAnsweredError` when
                somebody answered it before, `NothingToResumeError` when nothing waits at all.
            NodeError: A node raised, timed out or returned something unusable. What was committed stays.
            GraphRecursionError: More than `recursion_limit` steps.
            StateEncodingError, TooLargeError: A step cannot be stored; the checkpoint before stays.
            ThreadBusyError, StaleCheckpointError, LeaseLostError: Another run works on the thread.
            StoreUnavailableError: No answer from the store.

        Cost with Postgres: one write for the input and one a step; a read when no cache holds the thread.
        """
        granularity = ResponseGranularity(response_granularity)
        result = await self._run(input_data, config, granularity, sink=on_chunk, before_input=before_input)
        return _response(result, granularity)

    def invoke(
        self,
        input_data: Input | None = None,
        config: Config | None = None,
        *,
        response_granularity: ResponseGranularity | str = ResponseGranularity.LOW,
    ) -> dict[str, Any]:
        """Blocking face of `ainvoke`.

        Raises:
            SyncInAsyncError: An event loop runs in this thread; await `ainvoke` there.
        """
        work = self.ainvoke(input_data, config, response_granularity=response_granularity)
        return run_blocking(work, instead="await app.ainvoke(...)")

    async def astream(
        self,
        input_data: Input | None = None,
        config: Config | None = None,
        *,
        response_granularity: ResponseGranularity | str = ResponseGranularity.LOW,
    ) -> AsyncGenerator[StreamChunk]:
        """Run as `ainvoke` does and yield what happens as it happens.

        `low`: the input messages, then each produced one (pieces of it first, where a model streams);
        `partial` adds the state after each step; `full` adds `updates` chunks with
        `data.status` `invoking_node`, `node_invoked` and `graph_invoked`.

        A message is yielded after it is durable; with durability "async" or "exit" as soon as it is made,
        and all of it is durable when the stream ends. Closing the generator early cancels the run
        at its last durable step.

        Raises:
            See `ainvoke`.
        """
        granularity = ResponseGranularity(response_granularity)
        chunks: asyncio.Queue[StreamChunk | None] = asyncio.Queue()
        run = asyncio.create_task(self._run(input_data, config, granularity, sink=chunks.put_nowait))
        run.add_done_callback(lambda _: chunks.put_nowait(None))
        try:
            while (chunk := await chunks.get()) is not None:
                yield chunk
            await run
        finally:
            if not run.done():
                run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    def stream(
        self,
        input_data: Input | None = None,
        config: Config | None = None,
        *,
        response_granularity: ResponseGranularity | str = ResponseGranularity.LOW,
    ) -> Iterator[StreamChunk]:
        """Blocking face of `astream`."""
        chunks = self.astream(input_data, config, response_granularity=response_granularity)
        return iterate_blocking(chunks, instead="async for chunk in app.astream(...)")

    async def astop(self, config: Config) -> dict[str, Any]:
        """Ask the run on `config["thread_id"]` to stop at its next node boundary, wherever it runs.

        Returns:
            `{"ok": bool, "running": bool, "thread_id": str}`; `running` is what the latest checkpoint says.
        """
        scope, thread_id = scope_of(config), required_thread_id(config)
        found = await self.checkpointer.request_stop(scope, thread_id)
        state = await self.aget_state(config) if found else None
        running = state is not None and state.execution_meta.is_running()
        return {"ok": running, "running": running, "thread_id": thread_id}

    def stop(self, config: Config) -> dict[str, Any]:
        """Blocking face of `astop`."""
        return run_blocking(self.astop(config), instead="await app.astop(...)")

    # --- looking --------------------------------------------------------------------------------

    async def aget_state(self, config: Config, *, checkpoint: int | None = None) -> S | None:
        """The thread's state, or as it was at checkpoint number `checkpoint` of its history.

        Returns:
            The state; None if there is no such thread.

        Raises:
            ThreadNotFoundError, CheckpointNotFoundError: Only when `checkpoint` is given.
            CorruptStateError: What is stored does not fit the state's type.
        """
        scope, thread_id = scope_of(config), required_thread_id(config)
        if checkpoint is None:
            snapshot = await self.checkpointer.load(scope, thread_id)
        else:
            snapshot = await self.checkpointer.load_at(scope, thread_id, checkpoint)
        if snapshot is None:
            return None
        messages = [decode_message(row) for row in snapshot.messages]
        state = decode_state(self.blueprint.state_type, snapshot.fields, messages)
        if state.execution_meta.thread_id:  # a copy holds what the original's state said
            state.execution_meta.thread_id = thread_id
        return state

    def get_state(self, config: Config, *, checkpoint: int | None = None) -> S | None:
        """Blocking face of `aget_state`."""
        return run_blocking(
            self.aget_state(config, checkpoint=checkpoint), instead="await app.aget_state(...)"
        )

    async def ahistory(
        self, config: Config, *, before: int | None = None, limit: int = 100
    ) -> Sequence[CheckpointInfo]:
        """The thread's checkpoints, newest first; `before` continues a page at that number."""
        return await self.checkpointer.history(
            scope_of(config), required_thread_id(config), before=before, limit=limit
        )

    def history(
        self, config: Config, *, before: int | None = None, limit: int = 100
    ) -> Sequence[CheckpointInfo]:
        """Blocking face of `ahistory`."""
        return run_blocking(
            self.ahistory(config, before=before, limit=limit), instead="await app.ahistory(...)"
        )

    async def aresult(
        self,
        config: Config,
        *,
        response_granularity: ResponseGranularity | str = ResponseGranularity.LOW,
    ) -> dict[str, Any] | None:
        """What a run left behind so far, as `ainvoke` returns it; nothing runs.

        Args:
            config: `thread_id`, `run_id` of the run, `scope`; `rejoin_since`, when the run was made, saves
                looking through the whole history.
            response_granularity: As for `ainvoke`.

        Returns:
            The result; None when the run wrote nothing.

        Cost with Postgres: a read for each hundred checkpoints since the run was made, and two more.
        """
        required_thread_id(config)
        await self.checkpointer.asetup()
        result = await result_of(self.blueprint, self.checkpointer, run_config(config))
        return None if result is None else _response(result, ResponseGranularity(response_granularity))

    def result(
        self,
        config: Config,
        *,
        response_granularity: ResponseGranularity | str = ResponseGranularity.LOW,
    ) -> dict[str, Any] | None:
        """Blocking face of `aresult`."""
        work = self.aresult(config, response_granularity=response_granularity)
        return run_blocking(work, instead="await app.aresult(...)")

    # --- going back -----------------------------------------------------------------------------

    async def afork(
        self,
        config: Config,
        *,
        checkpoint: int,
        to_thread: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Make what the thread was at a checkpoint the latest state: of the same thread, or of a new one.

        In place nothing is lost: the fork is a new checkpoint whose `parent` is the old one, and what came
        after that stays in the history. Invoke with None goes on with what was unfinished there; tools that
        run again then do so under new keys.

        Args:
            config: `thread_id`, `scope`; `run_id`, `user_id`, `lock_wait` and `when_busy` as for `ainvoke`.
            checkpoint: Its number in the thread's history.
            to_thread: Id of a thread that is not there yet; it gets the user, name and metadata of this one.
            values: Fields to change on the way, through their reducers; `messages` means the context.

        Returns:
            `{"thread_id": str, "checkpoint": int}` of the fork.

        Raises:
            ThreadNotFoundError, CheckpointNotFoundError: There is no such thing to fork.
            ConflictError: The new thread is there already, or somebody wrote to it at the same time.
            InvalidInputError: `values` do not fit the state.

        Cost with Postgres: one read that folds at most 32 checkpoints, and one write.
        """
        required_thread_id(config)
        await self.checkpointer.asetup()
        wanted = Fork(checkpoint, to_thread, values)
        return await fork(self.blueprint, self.checkpointer, run_config(config), wanted)

    def fork(
        self,
        config: Config,
        *,
        checkpoint: int,
        to_thread: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Blocking face of `afork`."""
        return run_blocking(
            self.afork(config, checkpoint=checkpoint, to_thread=to_thread, values=values),
            instead="await app.afork(...)",
        )

    async def acopy(self, config: Config, *, to_thread: str, with_history: bool = True) -> dict[str, Any]:
        """Copy a thread, with its user, name and metadata, to a new one; nothing runs.

        Args:
            config: `thread_id`, `scope`.
            to_thread: Id of a thread that is not there yet.
            with_history: Every checkpoint, exactly as it is; else the latest state alone, as a fork of it.

        Returns:
            `{"thread_id": str, "checkpoint": int}` of the copy.

        Raises:
            ThreadNotFoundError: There is no such thread.
            ConflictError: There is a thread `to_thread`, whosever it is.

        Cost with Postgres: one transaction in which the server copies the rows; without history as a fork.
        """
        scope, thread_id = scope_of(config), required_thread_id(config)
        await self.checkpointer.asetup()
        if with_history:
            copied = await self.checkpointer.copy_thread(scope, thread_id, to_thread)
            return {"thread_id": to_thread, "checkpoint": copied.head}
        info = await self.checkpointer.get_thread(scope, thread_id)
        if info is None:
            raise ThreadNotFoundError(f"There is no thread {thread_id!r}.")
        return await self.afork(config, checkpoint=info.head, to_thread=to_thread)

    def copy(self, config: Config, *, to_thread: str, with_history: bool = True) -> dict[str, Any]:
        """Blocking face of `acopy`."""
        return run_blocking(
            self.acopy(config, to_thread=to_thread, with_history=with_history),
            instead="await app.acopy(...)",
        )

    async def aundo(self, config: Config) -> bool:
        """Put a thread back to where a run found it, as a new checkpoint: its history keeps both.

        Args:
            config: `thread_id`, `run_id` of the run, `scope`; `rejoin_since`, when the run was made, saves
                looking through the whole history.

        Returns:
            Whether there was anything of the run to undo.

        Raises:
            ConflictError: Somebody wrote to the thread after the run.
            ThreadBusyError: A run holds the thread.

        Cost with Postgres: a read for each hundred checkpoints since the run was made, two more, one write.
        """
        required_thread_id(config)
        await self.checkpointer.asetup()
        return await undo(self.blueprint, self.checkpointer, run_config(config))

    def undo(self, config: Config) -> bool:
        """Blocking face of `aundo`."""
        return run_blocking(self.aundo(config), instead="await app.aundo(...)")

    # --- changing by hand ------------------------------------------------------------------------

    async def aupdate_state(self, config: Config, values: Mapping[str, Any]) -> S:
        """Merge values into a thread's state, as a checkpoint of its own. Nothing runs.

        Args:
            config: `thread_id`, `scope`, `lock_wait`; `run_id` with `rejoin_since` makes the change once.
            values: State fields: messages (`context`) are appended, dicts merged deeply, other values take
                the place of the old ones; None erases nothing, `execution_meta` stays.

        Returns:
            The state.

        Raises:
            ThreadNotFoundError: There is no such thread.
            InvalidInputError: `values` do not fit the state.
            ThreadBusyError: A run held the thread for the whole waiting time.

        Cost with Postgres: a read and a write.
        """
        return (await self._edit(config, merging(self.blueprint, values)))[0]

    def update_state(self, config: Config, values: Mapping[str, Any]) -> S:
        """Blocking face of `aupdate_state`."""
        return run_blocking(self.aupdate_state(config, values), instead="await app.aupdate_state(...)")

    async def aadd_messages(self, config: Config, messages: Sequence[Message]) -> int:
        """Append messages to a thread, making it if it is new; how many were. Nothing runs.

        Raises:
            See `aupdate_state`.
        """
        return (await self._edit(config, adding(self.blueprint, messages), makes_thread=True))[1]

    def add_messages(self, config: Config, messages: Sequence[Message]) -> int:
        """Blocking face of `aadd_messages`."""
        return run_blocking(self.aadd_messages(config, messages), instead="await app.aadd_messages(...)")

    async def aimport_messages(
        self,
        config: Config,
        messages: AsyncIterable[Message] | Iterable[Message],
        *,
        answered_only: bool = False,
        on_batch: Callable[[Imported], None] | None = None,
    ) -> Imported:
        """Append any number of messages to a thread, making it if it is new, in bounded memory. Nothing runs.

        They are written as they come, in batches of up to 500 or 1 MiB: each is a checkpoint, all of it or
        nothing. When the import breaks off the batches before stay; do it again, and messages whose ids the
        thread has had are passed over. The thread is held from beginning to end.

        Args:
            config: As for `aupdate_state`.
            messages: In their order; may be a generator, and is read no faster than is written.
            answered_only: Whether a tool call without a result among the messages that follow it is refused.
            on_batch: Called with how far it has come, after each batch.

        Raises:
            InvalidInputError: A tool result answers no call.
            ThreadBusyError: A run held the thread for the whole waiting time.

        Cost with Postgres: one pass over what the thread holds, then a write a batch. Memory: a batch, and
        some 100 bytes for each message of the thread, to know its id.
        """
        required_thread_id(config)
        await self.checkpointer.asetup()
        return await import_messages(
            self.blueprint,
            self.checkpointer,
            run_config(config),
            messages if isinstance(messages, AsyncIterable) else _each(messages),
            answered_only=answered_only,
            on_batch=on_batch,
        )

    def import_messages(self, config: Config, messages: Iterable[Message]) -> Imported:
        """Blocking face of `aimport_messages`."""
        return run_blocking(
            self.aimport_messages(config, messages), instead="await app.aimport_messages(...)"
        )

    async def aexport_messages(self, config: Config) -> AsyncGenerator[Message]:
        """All messages of a thread's context, oldest first, in bounded memory.

        They are those of the version it had at the beginning, whatever is written meanwhile.

        Raises:
            ThreadNotFoundError: There is no such thread, or it was deleted meanwhile.

        Cost with Postgres: a read for each 500 messages or 1 MiB.
        """
        thread_id, scope, place = required_thread_id(config), scope_of(config), BEGINNING
        while True:
            page = await self.checkpointer.read_messages(scope, thread_id, after=place)
            for row in page.messages:
                yield decode_message(row)
            if page.is_last:
                return
            place = page.following

    def export_messages(self, config: Config) -> Iterator[Message]:
        """Blocking face of `aexport_messages`."""
        return iterate_blocking(
            self.aexport_messages(config), instead="async for message in app.aexport_messages(...)"
        )

    async def aremove_message(self, config: Config, message_id: str) -> None:
        """Take a message out of a thread; its history keeps it.

        Raises:
            ThreadNotFoundError: There is no such thread, or it holds no such message.
            ThreadBusyError: See `aupdate_state`.
        """
        await self._edit(config, removing(self.blueprint, message_id))

    def remove_message(self, config: Config, message_id: str) -> None:
        """Blocking face of `aremove_message`."""
        run_blocking(self.aremove_message(config, message_id), instead="await app.aremove_message(...)")

    async def aclear_state(self, config: Config) -> None:
        """Put a thread's state back to the graph's own beginning; its history keeps what was.

        Raises:
            See `aupdate_state`.
        """
        await self._edit(config, clearing(self.blueprint, required_thread_id(config)))

    def clear_state(self, config: Config) -> None:
        """Blocking face of `aclear_state`."""
        run_blocking(self.aclear_state(config), instead="await app.aclear_state(...)")

    async def afix(self, config: Config) -> tuple[S, int]:
        """Take out messages left by interrupted tool calls, with what is left of their run.

        Returns:
            The state, and how many messages were taken out.

        Raises:
            See `aupdate_state`.
        """
        return await self._edit(config, fixing(self.blueprint))

    def fix(self, config: Config) -> tuple[S, int]:
        """Blocking face of `afix`."""
        return run_blocking(self.afix(config), instead="await app.afix(...)")

    # --- closing --------------------------------------------------------------------------------

    async def adrain(self, timeout_s: float = 30.0) -> None:
        """Let running runs, of every event loop, reach their next boundary and end there.

        They stop as by `stop`, durable, and go on when they are invoked again. Those that take longer
        than `timeout_s` are cancelled at their last durable step. The checkpointer stays open, for
        others that share it.
        """
        self._closing = True
        try:
            by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Task[RunResult[S]]]] = {}
            for run in list(self._running):
                by_loop.setdefault(run.get_loop(), []).append(run)
            await asyncio.gather(*(_ended(loop, runs, timeout_s) for loop, runs in by_loop.items()))
        finally:
            self._closing = False

    async def aclose(self, timeout_s: float = 30.0) -> None:
        """End running runs as `adrain` does, then close the checkpointer.

        Idempotent; a later invoke opens again.
        """
        await self.adrain(timeout_s)
        await self.checkpointer.aclose()

    def close(self, timeout_s: float = 30.0) -> None:
        """Blocking face of `aclose`."""
        run_blocking(self.aclose(timeout_s), instead="await app.aclose()")

    async def __aenter__(self) -> Self:
        """Make the checkpointer ready."""
        await self.checkpointer.asetup()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close as `aclose`."""
        await self.aclose()

    # --- inside ---------------------------------------------------------------------------------

    async def _edit(self, config: Config, making: Making[S], *, makes_thread: bool = False) -> tuple[S, int]:
        required_thread_id(config)
        await self.checkpointer.asetup()
        return await edit(
            self.blueprint, self.checkpointer, run_config(config), making, makes_thread=makes_thread
        )

    async def _run(
        self,
        input_data: Input | None,
        config: Config | None,
        granularity: ResponseGranularity,
        sink: Sink | None,
        before_input: Callable[[], Awaitable[None]] | None = None,
    ) -> RunResult[S]:
        given = run_input(input_data, self.blueprint.state_type)
        settings = replace(run_config(config), before_input=before_input)
        emitter = Emitter(settings.thread_id, settings.run_id, granularity, sink)
        # A task of its own, so that closing the graph can end the run without ending its caller.
        run = asyncio.create_task(self._execute(given, settings, emitter))
        self._running.add(run)
        run.add_done_callback(self._running.discard)
        try:
            return await run
        except asyncio.CancelledError as error:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise ExecutionError(
                "The graph was closed before the run ended; invoke it again to go on."
            ) from error

    async def _execute(self, given: RunInput, config: RunConfig, emitter: Emitter) -> RunResult[S]:
        await self.checkpointer.asetup()
        with run_span(config, self.blueprint.name) as span:
            async with Hold(self.checkpointer, config) as held:
                run = GraphRun(
                    self.blueprint, config, self.checkpointer, held, emitter, lambda: self._closing
                )
                with NotingEnd(span, run):
                    return await run.execute(given)


async def _ended(
    loop: asyncio.AbstractEventLoop, runs: Sequence[asyncio.Task[RunResult[Any]]], timeout_s: float
) -> None:
    """Wait for runs inside the loop they belong to; what is left then is cancelled."""

    async def wait() -> None:
        _, late = await asyncio.wait(runs, timeout=timeout_s)
        for run in late:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    if loop is asyncio.get_running_loop():
        await wait()
    elif loop.is_running():
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wait(), loop))


def _response(result: RunResult[Any], granularity: ResponseGranularity) -> dict[str, Any]:
    state = result.state
    response: dict[str, Any] = {
        "messages": result.messages,
        "meta": {
            "thread_id": result.thread_id,
            "run_id": result.run_id,
            "is_new_thread": result.is_new_thread,
            "status": state.execution_meta.status.value,
            "interrupt_reason": state.execution_meta.interrupt_reason,
            "interrupts": state.execution_meta.interrupts,
        },
    }
    if granularity is not ResponseGranularity.LOW:
        response |= {"context": state.context, "context_summary": state.context_summary}
    if granularity is ResponseGranularity.FULL:
        response["state"] = state
    return response


async def _each(messages: Iterable[Message]) -> AsyncGenerator[Message]:
    for message in messages:
        yield message
