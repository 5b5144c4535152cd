"""Packed checkpoints: the rows of an idle thread as one compressed body, and back.

A byte for the format, 4 for how many, the 16 bytes of each checkpoint's id, oldest first, and behind them,
compressed, a line of JSON with the other columns, `[first seq, microseconds between the times, steps from one
to the next, full or not, sources, nodes, run ids]`, and a line for each delta. Like stands beside like, which
compresses a fifth better than row by row; ids do not compress at all. The first one is full.

What is short or prose gets smaller with bzip2, what repeats long passages with LZMA: the smaller one is kept.
"""

from __future__ import annotations

import bz2
import json
import lzma
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, Final
from uuid import UUID

from agentflow.errors import CorruptStateError
from agentflow.storage.checkpointer.types import CheckpointInfo, Source, lineage
from agentflow.utils.jsontext import json_text

# So much of a history is unpacked to read one version of it.
MOST_IN_A_PART: Final = 512
# The format's byte. The oldest has the steps themselves.
_LZMA_STEPS: Final = b"1"
_LZMA: Final = b"2"
_BZIP2: Final = b"3"
_ID_BYTES: Final = 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# A dictionary of 1 MiB covers any thread worth packing and bounds what reading one takes.
_FILTERS: Final = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20, "pb": 0}]


@dataclass(frozen=True, slots=True)
class PackedCheckpoint:
    """A checkpoint's row."""

    seq: int
    created_at: datetime
    step: int
    is_full: bool
    checkpoint_id: UUID
    source: Source
    node: str
    run_id: str
    delta: str

    def info(self) -> CheckpointInfo:
        """As an entry of the history."""
        parent, node = lineage(self.seq, self.source, self.node)
        return CheckpointInfo(
            seq=self.seq,
            parent=parent,
            checkpoint_id=self.checkpoint_id,
            source=self.source,
            node=node,
            step=self.step,
            run_id=self.run_id,
            created_at=self.created_at,
        )


def parts_of(checkpoints: Sequence[PackedCheckpoint]) -> list[list[PackedCheckpoint]]:
    """A history in parts that each begin with a full checkpoint: reading a version unpacks one of them."""
    parts: list[list[PackedCheckpoint]] = [[]]
    for checkpoint in checkpoints:
        if checkpoint.is_full and len(parts[-1]) >= MOST_IN_A_PART:
            parts.append([])
        parts[-1].append(checkpoint)
    return parts


def pack(checkpoints: Sequence[PackedCheckpoint]) -> bytes:
    """The body of an archive of checkpoints.

    Raises:
        CorruptStateError: They do not follow one another.
    """
    check_row(checkpoints[0].is_full, [checkpoint.seq for checkpoint in checkpoints])
    times = [(checkpoint.created_at - _EPOCH) // _MICROSECOND for checkpoint in checkpoints]
    columns = [
        checkpoints[0].seq,
        _gaps(times),
        _runs(_gaps([checkpoint.step for checkpoint in checkpoints])),
        _runs(checkpoint.is_full for checkpoint in checkpoints),
        _runs(checkpoint.source for checkpoint in checkpoints),
        _runs(checkpoint.node for checkpoint in checkpoints),
        _runs(checkpoint.run_id for checkpoint in checkpoints),
    ]
    lines = [json_text(columns, field="archive"), *(checkpoint.delta for checkpoint in checkpoints)]
    ids = b"".join(checkpoint.checkpoint_id.bytes for checkpoint in checkpoints)
    text = "\n".join(lines).encode()
    bodies = {
        _BZIP2: bz2.compress(text),
        _LZMA: lzma.compress(text, format=lzma.FORMAT_RAW, filters=_FILTERS),
    }
    smaller = min(bodies, key=lambda name: len(bodies[name]))
    return smaller + len(checkpoints).to_bytes(4) + ids + bodies[smaller]


def unpack(body: bytes) -> list[PackedCheckpoint]:
    """The checkpoints of an archive, oldest first.

    Raises:
        CorruptStateError: It is not what `pack` made.
    """
    try:
        return _unpacked(body[:1], int.from_bytes(body[1:5]), body[5:])
    except (lzma.LZMAError, OSError, EOFError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CorruptStateError(
            "A thread's packed checkpoints cannot be read; none of it was used."
        ) from error


def since_full(checkpoints: Sequence[PackedCheckpoint], seq: int) -> Sequence[PackedCheckpoint]:
    """Those until version `seq`, from the last full one on; [] below the first."""
    until = [checkpoint for checkpoint in checkpoints if checkpoint.seq <= seq]
    start = max((i for i, checkpoint in enumerate(until) if checkpoint.is_full), default=0)
    return until[start:]


def deltas_until(checkpoints: Sequence[PackedCheckpoint], seq: int) -> list[str]:
    """The deltas that make version `seq`; [] below the first.

    Raises:
        CorruptStateError: One that they build on is missing.
    """
    found = since_full(checkpoints, seq)
    if found:
        check_row(found[0].is_full, [checkpoint.seq for checkpoint in found])
    return [checkpoint.delta for checkpoint in found]


def check_row(starts_full: bool, seqs: Sequence[int]) -> None:
    """Refuse checkpoints that do not build on one another: somebody deleted what was between them.

    Raises:
        CorruptStateError: They do not.
    """
    if not starts_full or seqs[-1] - seqs[0] != len(seqs) - 1:
        raise hole_at(seqs[-1])


def hole_at(seq: int) -> CorruptStateError:
    """For a version that builds on what is not there."""
    return CorruptStateError(
        f"The history of a thread has a hole at version {seq} or below; none of it was used."
    )


def _unpacked(name: bytes, count: int, body: bytes) -> list[PackedCheckpoint]:
    ids = [UUID(bytes=body[i : i + _ID_BYTES]) for i in range(0, count * _ID_BYTES, _ID_BYTES)]
    columns, *deltas = _text(name, body[count * _ID_BYTES :]).split("\n")
    first, gaps, *runs = json.loads(columns)
    steps, fulls, sources, nodes, run_ids = (_spread(run) for run in runs)
    if name != _LZMA_STEPS:
        steps = list(accumulate(steps))
    seqs = range(first, first + count)
    times = [_EPOCH + us * _MICROSECOND for us in accumulate(gaps)]
    rows = zip(seqs, times, steps, fulls, ids, sources, nodes, run_ids, deltas, strict=True)
    return [PackedCheckpoint(*row) for row in rows]


def _text(name: bytes, compressed: bytes) -> str:
    if name == _BZIP2:
        return bz2.decompress(compressed).decode()
    if name in (_LZMA, _LZMA_STEPS):
        return lzma.decompress(compressed, format=lzma.FORMAT_RAW, filters=_FILTERS).decode()
    raise ValueError("another format")


def _gaps(values: Sequence[int]) -> list[int]:
    """The first, and how far it is from one to the next: `accumulate` makes the values of it."""
    return [*values[:1], *(after - before for before, after in pairwise(values))]


def _runs(values: Iterable[Any]) -> list[list[Any]]:
    """`[value, how often in a row]` each."""
    runs: list[list[Any]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    return runs


def _spread(runs: Iterable[Sequence[Any]]) -> list[Any]:
    return [value for value, count in runs for _ in range(count)]
