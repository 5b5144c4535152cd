"""Carries out moves: takes one, goes on where it stands, and gives way when somebody else has it."""

import asyncio
import logging
import uuid
from dataclasses import replace

from agentflow.errors import AgentFlowError, StorageError
from agentflow.utils import span_names as names
from agentflow_tenancy.moves import Mover, Operation, OperationRepository
from agentflow_tenancy.moves.mover import Claim, ClaimLostError, Way
from agentflow_tenancy.moves.operations import Step
from agentflow_worker.looking import work_until
from agentflow_worker.work_spans import step_span, work_span

logger = logging.getLogger("agentflow.worker")

_PUT_OFF_S = 3.0


class _LostError(Exception):
    """Somebody else works on the operation now."""


class _CancelledError(Exception):
    """The operation shall be undone."""


class OperationRunner:
    """One operation at a time, until told to stop. Any number of processes may do so at once.

    What was done is noted with each step, so that whoever comes after a crash goes on from there; what was
    not noted is done once more, which changes nothing.
    """

    def __init__(
        self,
        repository: OperationRepository,
        mover: Mover,
        *,
        lease_s: float = 3.0,
        poll_s: float = 1.0,
    ) -> None:
        """Nothing runs yet.

        Args:
            repository: Where operations are.
            mover: Does the steps.
            lease_s: An operation is free again so long after its holder was last heard of. Shorter than
                writers try again, who may wait for a holder that died with the fence closed.
            poll_s: How long to wait before looking for operations again.
        """
        self._repository = repository
        self._mover = mover
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._holder = uuid.uuid4()

    async def run(self, stop: asyncio.Event) -> None:
        """Look for operations until `stop` is set; the one under way is left for somebody else."""
        await work_until(stop, self.work_once, poll_s=self._poll_s)

    async def work_once(self) -> bool:
        """Take one operation and carry it out as far as it goes; False when there was none."""
        try:
            operation = await self._repository.take(self._holder, self._lease_s)
            if operation is None:
                return False
            await self._carry_out(operation)
        except StorageError as error:
            logger.warning("No operation this time: %s", error)
            return False
        return True

    async def _carry_out(self, operation: Operation) -> None:
        held = asyncio.ensure_future(self._go_on(operation))
        beating = asyncio.ensure_future(self._beat(operation, held))
        try:
            await held
        except asyncio.CancelledError:
            if beating.done() and not beating.cancelled():
                return  # somebody else has it
            # Told to stop: whoever looks next goes on.
            await asyncio.shield(self._repository.put_off(operation, None, 0.0))
            raise
        except (_LostError, ClaimLostError):
            logger.warning("Operation %s is somebody else's now.", operation.operation_id)
        except AgentFlowError as error:
            logger.warning("Operation %s is put off: %s", operation.operation_id, error)
            await self._repository.put_off(operation, str(error), _PUT_OFF_S)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, operation: Operation, held: "asyncio.Future[None]") -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                if await self._repository.hold(operation, self._lease_s) is None:
                    held.cancel()
                    return
            except StorageError:
                continue

    async def _go_on(self, operation: Operation) -> None:
        with work_span(names.PROMOTE_SPAN, operation.tenant_id, operation.kind):
            await self._gone_on(operation)

    async def _gone_on(self, operation: Operation) -> None:
        if operation.cancel_requested:
            with step_span(names.PROMOTE_SPAN, "undo"):
                await self._undo(operation)
            return
        try:
            await self._forward(operation)
        except _CancelledError:
            current = await self._repository.get(operation.operation_id)
            with step_span(names.PROMOTE_SPAN, "undo"):
                await self._undo(operation if current is None else replace(current, holder=operation.holder))

    async def _forward(self, operation: Operation) -> None:
        if operation.target is None:
            target = await self._mover.new_placement()
            await self._note(operation, "prepare", target=target)
            operation = replace(operation, target=target)
        assert operation.target is not None  # noqa: S101 - for the type checker
        way = Way(operation.tenant_id, operation.source, operation.target, self._claim(operation))
        step = operation.step
        if step == "prepare":
            with step_span(names.PROMOTE_SPAN, step):
                total = await self._mover.prepare(way)
            step = await self._note(operation, "announce", threads_total=total)
        if step == "announce":
            with step_span(names.PROMOTE_SPAN, step):
                await self._mover.announce(way)
            step = await self._note(operation, "fence")
        if step == "fence":
            with step_span(names.PROMOTE_SPAN, step):
                await self._fence(operation, way)
            step = await self._note(operation, "move")
        if step == "move":
            with step_span(names.PROMOTE_SPAN, step):
                await self._move(operation, way)
            step = await self._note(operation, "finish")
        if step == "finish":
            with step_span(names.PROMOTE_SPAN, step):
                await self._mover.settle(way)
            step = await self._note(operation, "clean", cancellable=False)
        with step_span(names.PROMOTE_SPAN, "clean"):
            await self._end(operation, "done", left=way.source)

    def _claim(self, operation: Operation) -> Claim:
        return Claim(operation.operation_id, self._holder)

    async def _undo(self, operation: Operation) -> None:
        """Back to where it came from. What has settled already stays."""
        if operation.step in ("clean", "end"):
            await self._end(operation, "done", left=operation.source)
            return
        if operation.target is not None and operation.step != "prepare":
            back = Way(operation.tenant_id, operation.target, operation.source, self._claim(operation))
            await self._fence(operation, back, cancellable=False)
            await self._move(operation, back, cancellable=False)
            await self._mover.settle(back)
        await self._end(operation, "cancelled", left=operation.target)

    async def _fence(self, operation: Operation, way: Way, *, cancellable: bool = True) -> None:
        while not await self._mover.fence(way):
            logger.info("Operation %s waits for a long transaction.", operation.operation_id)
            await self._note(operation, "fence", cancellable=cancellable)
            await asyncio.sleep(self._poll_s)

    async def _move(self, operation: Operation, way: Way, *, cancellable: bool = True) -> None:
        async def progress(threads: int, rows: int) -> None:
            await self._note(operation, "move", threads=threads, rows=rows, cancellable=cancellable)

        await self._mover.move(way, progress)

    async def _note(
        self,
        operation: Operation,
        step: Step,
        *,
        target: int | None = None,
        threads_total: int | None = None,
        threads: int = 0,
        rows: int = 0,
        cancellable: bool = True,
    ) -> Step:
        is_cancelled = await self._repository.step(
            operation,
            step,
            lease_s=self._lease_s,
            target=target,
            threads_total=threads_total,
            threads=threads,
            rows=rows,
        )
        if is_cancelled is None:
            raise _LostError
        if is_cancelled and cancellable:
            raise _CancelledError
        return step

    async def _end(self, operation: Operation, state: str, *, left: int | None) -> None:
        cleaned = left is None or await self._mover.clean(left)
        note = None if cleaned else f"the empty partitions of placement {left} are still there"
        await self._repository.end(operation, state, note)
        logger.info("Operation %s: %s.", operation.operation_id, state)
