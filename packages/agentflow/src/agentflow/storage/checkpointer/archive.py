"""Packed checkpoints: the rows of an idle thread as one compressed body, and back.

A zlib-compressed JSON array of `[seq, created_at, step, is_full, checkpoint_id, source, node, run_id,
delta]`, oldest first; `created_at` is the epoch in seconds as text, exact to the microsecond. The first one
is full.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from agentflow.errors import CorruptStateError
from agentflow.storage.checkpointer.types import CheckpointInfo, Source
from agentflow.utils.jsontext import json_text

_LEVEL: Final = 9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PackedCheckpoint:
    """A checkpoint's row, as plain data."""

    seq: int
    created_at: str
    step: int
    is_full: bool
    checkpoint_id: str
    source: Source
    node: str
    run_id: str
    delta: str

    def info(self) -> CheckpointInfo:
        """As an entry of the history."""
        return CheckpointInfo(
            seq=self.seq,
            parent=self.seq - 1,
            checkpoint_id=UUID(self.checkpoint_id),
            source=self.source,
            node=self.node,
            step=self.step,
            run_id=self.run_id,
            created_at=_EPOCH + timedelta(microseconds=int(Decimal(self.created_at) * 1_000_000)),
        )


def pack(checkpoints: Sequence[PackedCheckpoint]) -> bytes:
    """The body of an archive."""
    rows = [astuple(checkpoint) for checkpoint in checkpoints]
    return zlib.compress(json_text(rows, field="archive").encode(), _LEVEL)


def unpack(body: bytes) -> list[PackedCheckpoint]:
    """The checkpoints of an archive, oldest first.

    Raises:
        CorruptStateError: It is not what `pack` made.
    """
    try:
        return [PackedCheckpoint(*row) for row in json.loads(zlib.decompress(body))]
    except (zlib.error, ValueError, TypeError, RecursionError) as error:
        raise CorruptStateError(
            "A thread's packed checkpoints cannot be read; none of it was used."
        ) from error


def deltas_until(checkpoints: Sequence[PackedCheckpoint], seq: int) -> list[str]:
    """The deltas that make version `seq`, from the last full one on."""
    until = [checkpoint for checkpoint in checkpoints if checkpoint.seq <= seq]
    start = max((i for i, checkpoint in enumerate(until) if checkpoint.is_full), default=0)
    return [checkpoint.delta for checkpoint in until[start:]]
