"""Which tenants should move, by their size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from agentflow.storage.checkpointer.types import FIRST_OWN_PLACEMENT
from agentflow_tenancy.moves.operations import PartitionSize, TenantSize
from agentflow_tenancy.schema import POOL_PLACEMENTS

# Variable -> what it is for; the API shows who would move, the worker has them moved.
VARIABLES: Final = {
    "AGENTFLOW_PROMOTE_BYTES": "Bytes kept from which a tenant has a partition of its own. 1073741824 if "
    "not set.",
    "AGENTFLOW_PROMOTE_THREADS": "Threads kept from which it does. 100000 if not set.",
    "AGENTFLOW_PROMOTE_CHECKPOINTS_PER_HOUR": "Checkpoints in an hour from which it does. 200000 if not set.",
    "AGENTFLOW_MOVE_COOLDOWN_S": "Seconds that a tenant rests after a move. 3600 if not set.",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A tenant that should move.

    Attributes:
        target: A pool placement, or None for a partition of its own.
        reason: Which limit it is over or under.
    """

    size: TenantSize
    target: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class MovePolicy:
    """Limits above which a tenant gets a partition of its own.

    It goes back to the pool when it is under a quarter of each, so that one that grows and shrinks around a
    limit stays where it is; and it rests for `cooldown` after each move.

    Attributes:
        bytes: Kept, as they were sent.
        threads: Kept.
        checkpoints_per_hour: Written within the last hour.
        keep: The part of a limit under which it goes back.
    """

    bytes: int = 2**30
    threads: int = 100_000
    checkpoints_per_hour: int = 200_000
    keep: float = 0.25
    cooldown: timedelta = timedelta(hours=1)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """The policy that the environment sets, with the usual limits where it is silent.

        Raises:
            ValueError: A value is no whole number above 0; the text names the variable.
        """
        usual = cls()
        return cls(
            bytes=_whole(environment, "AGENTFLOW_PROMOTE_BYTES", usual.bytes),
            threads=_whole(environment, "AGENTFLOW_PROMOTE_THREADS", usual.threads),
            checkpoints_per_hour=_whole(
                environment, "AGENTFLOW_PROMOTE_CHECKPOINTS_PER_HOUR", usual.checkpoints_per_hour
            ),
            cooldown=timedelta(seconds=_whole(environment, "AGENTFLOW_MOVE_COOLDOWN_S", 3600, least=0)),
        )

    def proposals(
        self,
        tenants: Iterable[TenantSize],
        partitions: Sequence[PartitionSize],
        now: datetime | None = None,
    ) -> list[Proposal]:
        """Who should move and why, the largest first. Who is being moved is left."""
        at = now or datetime.now(UTC)
        found = []
        for size in tenants:
            if size.is_moving or (size.moved_at is not None and at < size.moved_at + self.cooldown):
                continue
            proposal = self._promotion(size) if size.placement < FIRST_OWN_PLACEMENT else None
            if size.placement >= FIRST_OWN_PLACEMENT:
                proposal = self._demotion(size, partitions)
            if proposal is not None:
                found.append(proposal)
        return found

    def _measures(self, size: TenantSize) -> tuple[tuple[str, int, int], ...]:
        return (
            ("bytes", size.bytes, self.bytes),
            ("threads", size.threads, self.threads),
            ("checkpoints in the last hour", size.checkpoints_last_hour, self.checkpoints_per_hour),
        )

    def _promotion(self, size: TenantSize) -> Proposal | None:
        for name, measured, limit in self._measures(size):
            if measured >= limit:
                return Proposal(size, None, f"{measured} {name}, {limit} or more")
        return None

    def _demotion(self, size: TenantSize, partitions: Sequence[PartitionSize]) -> Proposal | None:
        if any(measured >= limit * self.keep for _, measured, limit in self._measures(size)):
            return None
        return Proposal(size, emptiest_pool(partitions), f"under {self.keep:g} of every limit")


def emptiest_pool(partitions: Sequence[PartitionSize], but: int | None = None) -> int:
    """The pool placement that takes the least room."""
    sizes = {partition.placement: partition.size_bytes for partition in partitions}
    return min(
        (placement for placement in POOL_PLACEMENTS if placement != but),
        key=lambda placement: (sizes.get(placement, 0), placement),
    )


def _whole(environment: Mapping[str, str], name: str, usual: int, *, least: int = 1) -> int:
    text = environment.get(name, "")
    if not text:
        return usual
    if not text.isdecimal() or len(text) > 18 or int(text) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}: {VARIABLES[name]}")
    return int(text)
