"""Carries out offboardings: takes one, goes on where it stands, and gives way when somebody else has it."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from agentflow.errors import StorageError
from agentflow.utils import span_names as names
from agentflow_tenancy.moves.mover import ClaimLostError
from agentflow_tenancy.offboarding import (
    Exporter,
    Offboarding,
    OffboardingRepository,
    Place,
    Purge,
    Purger,
    ReceiptRepository,
    Verifier,
)
from agentflow_tenancy.offboarding.records import State, Step
from agentflow_tenancy.offboarding.verifier import left_over, parent_of
from agentflow_tenancy.signing_keys import SigningKeys
from agentflow_worker.leased_runner import LeasedRunner, LostError
from agentflow_worker.work_spans import step_span, work_span

logger = logging.getLogger("agentflow.worker")

_POLL_S = 0.1
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Parts:
    """What an offboarding is carried out with.

    Attributes:
        places: What holds something beside the tables; those of the verifier.
        exporter: Keeps archives; None where none can be kept, and who asks for one waits.
    """

    repository: OffboardingRepository
    purger: Purger
    verifier: Verifier
    receipts: ReceiptRepository
    keys: SigningKeys
    places: Sequence[Place] = ()
    exporter: Exporter | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How long what takes.

    Attributes:
        settle_s: How long to wait after the request, until no replica remembers the time before; and after
            the last row, until no cache is told of it (`PUBLISH_WITHIN_S`).
        wait_for_runs_s: How long runs have to reach their next node; then their threads go from under them.
        lease_s: One is free again so long after its holder was last heard of.
        poll_s: How long to wait before looking for more.
    """

    settle_s: float = 2.5
    wait_for_runs_s: float = 30.0
    lease_s: float = 5.0
    poll_s: float = 1.0


class OffboardingRunner(LeasedRunner[Offboarding]):
    """One offboarding at a time; see `LeasedRunner`."""

    noun = "offboarding"
    losses = (LostError, ClaimLostError)

    def __init__(
        self, parts: Parts, pace: Pace | None = None, *, backups_kept: timedelta = timedelta(days=30)
    ) -> None:
        """Nothing runs yet.

        Args:
            parts: Do the steps.
            pace: How long what takes.
            backups_kept: How long this deployment's backups are, for the receipt.
        """
        self._pace = pace or Pace()
        super().__init__(parts.repository, lease_s=self._pace.lease_s, poll_s=self._pace.poll_s)
        self._repository = parts.repository
        self._purger = parts.purger
        self._verifier = parts.verifier
        self._parts = parts
        self._backups_kept = backups_kept

    async def _go_on(self, found: Offboarding) -> None:
        with work_span(names.OFFBOARD_SPAN, found.subject.tenant_id, found.kind):
            await self._gone_on(found)

    async def _gone_on(self, found: Offboarding) -> None:
        if found.state == "measuring":
            with step_span(names.OFFBOARD_SPAN, "measure"):
                await self._measure(found)
            return
        if found.state == "suspended":
            with step_span(names.OFFBOARD_SPAN, "suspend"):
                await self._stop_work(found)
            found = await self._note(found, "exporting", "fence", fenced=True)
        if found.state == "exporting":
            with step_span(names.OFFBOARD_SPAN, "export"):
                is_exported = await self._is_exported(found)
            if not is_exported:
                # Others that leave do not wait for it.
                await self._repository.put_off(found, None, _LOOK_AGAIN_S)
                return
            await self._note(found, "grace", "fence")
            await self._repository.leave(found)
            return
        if found.state == "purging":
            found = await self._purge(found)
        with step_span(names.OFFBOARD_SPAN, "verify"):
            await self._verify(found)

    async def _measure(self, found: Offboarding) -> None:
        subject = found.subject
        placements = await self._purger.places(subject)
        counts = await self._purger.count_below(subject, placements)
        for look in await self._verifier.looks(subject):
            if look.found:
                table = parent_of(look.place)
                counts[table] = counts.get(table, 0) + look.found
        threads = await self._purger.count_threads(subject, placements)
        await self._repository.measured(found, counts, placements, threads)

    async def _stop_work(self, found: Offboarding) -> None:
        """Nobody is let in any more, and runs reach their next node."""
        await self._purger.undo_moves(found.subject)
        await asyncio.sleep(self._pace.settle_s)
        await self._runs_ended(found)

    async def _runs_ended(self, found: Offboarding) -> None:
        give_up_at = time.monotonic() + self._pace.wait_for_runs_s
        while await self._purger.open_runs(found.subject):
            if time.monotonic() > give_up_at:
                logger.warning("Offboarding %s goes on while runs work.", found.offboarding_id)
                return
            await asyncio.sleep(_POLL_S)

    async def _is_exported(self, found: Offboarding) -> bool:
        if not found.with_export:
            return True
        if self._parts.exporter is None:
            raise StorageError("This worker keeps no archives; cancel, or ask for no export.")
        return await self._parts.exporter(found.subject, found.offboarding_id)

    async def _purge(self, found: Offboarding) -> Offboarding:
        purge = Purge(found.subject, found.offboarding_id, self._holder)
        if found.step == "fence":
            with step_span(names.OFFBOARD_SPAN, "fence"):
                found = await self._fence(found, purge)
        if found.step == "leaves":
            with step_span(names.OFFBOARD_SPAN, "leaves"):
                for placement in await self._own_placements(found):
                    await self._purger.detach_leaves(purge, placement)
            found = await self._note(found, "purging", "threads")
        if found.step == "threads":
            with step_span(names.OFFBOARD_SPAN, "threads"):
                for placement in found.placements:
                    if await self._is_shared(found, placement):
                        await self._purger.purge_threads(purge, placement)
            found = await self._note(found, "purging", "tables")
        if found.step == "tables":
            with step_span(names.OFFBOARD_SPAN, "tables"):
                counts = await self._elsewhere(found)  # tickets and archives are found by rows that go next
                found = await self._note(found, "purging", "tables", counts=counts)
                await self._purge_tables(purge, await self._own_placements(found))
            found = await self._note(found, "purging", "elsewhere")
        # Whoever wrote just before its rows went tells the caches within that time, or not at all.
        await asyncio.sleep(self._pace.settle_s)
        with step_span(names.OFFBOARD_SPAN, "elsewhere"):
            counts = await self._elsewhere(found)
        return await self._note(found, "verifying", "elsewhere", counts=counts)

    async def _fence(self, found: Offboarding, purge: Purge) -> Offboarding:
        await self._purger.cancel_runs(found.subject)
        if found.kind == "user":
            await self._runs_ended(found)
        await self._purger.fence(purge)
        # Also where it was by an earlier try, which may have deleted what says so.
        placements = sorted({*found.placements, *await self._purger.places(found.subject)})
        shared = [place for place in placements if await self._is_shared(found, place)]
        total = found.threads_purged + await self._purger.count_threads(found.subject, shared)
        return await self._note(
            found, "purging", "leaves", fenced=True, placements=placements, threads_total=total
        )

    async def _is_shared(self, found: Offboarding, placement: int) -> bool:
        return found.kind == "user" or await self._purger.is_shared(found.subject, placement)

    async def _own_placements(self, found: Offboarding) -> list[int]:
        return [place for place in found.placements if not await self._is_shared(found, place)]

    async def _purge_tables(self, purge: Purge, own: Sequence[int]) -> None:
        """Beside them the tenant's own leaves are dropped: it takes long to give large files back."""
        dropping = asyncio.create_task(self._drop_leaves(purge, own))
        try:
            await self._purger.purge_tables(purge)
        except BaseException:  # whatever ends the one ends the other
            dropping.cancel()
            await asyncio.gather(dropping, return_exceptions=True)
            raise
        await dropping

    async def _drop_leaves(self, purge: Purge, placements: Sequence[int]) -> None:
        for placement in placements:
            await self._purger.drop_leaves(purge, placement)

    async def _elsewhere(self, found: Offboarding) -> dict[str, int]:
        counts: dict[str, int] = {}
        for place in self._parts.places:
            if purged := await place.purge(found.subject):
                counts[place.name] = purged
        return counts

    async def _verify(self, found: Offboarding) -> None:
        looks = await self._verifier.looks(found.subject)
        if left := left_over(looks):
            # Back to the beginning, which finds it; or says each time what is left.
            await self._note(found, "purging", "fence")
            places = ", ".join(f"{look.place} ({look.found})" for look in left)
            raise StorageError(f"Something is left, and there is no receipt yet: {places}.")
        key = await self._parts.keys.current()
        if not await self._parts.receipts.issue(found, looks, key, backups_kept=self._backups_kept):
            raise LostError
        logger.info("Offboarding %s: purged.", found.offboarding_id)

    async def _note(
        self,
        found: Offboarding,
        state: State,
        step: Step,
        *,
        fenced: bool = False,
        placements: Sequence[int] | None = None,
        threads_total: int | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> Offboarding:
        noted = await self._repository.step(
            found,
            state,
            step,
            lease_s=self._lease_s,
            fenced=fenced,
            placements=placements,
            threads_total=threads_total,
            counts=counts,
        )
        if noted is None:
            raise LostError
        return noted
