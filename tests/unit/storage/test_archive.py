"""Archives of packed checkpoints: what was packed comes back, also from older versions; or an error."""

import random
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from agentflow.errors import CorruptStateError
from agentflow.storage.checkpointer.archive import PackedCheckpoint, pack, unpack
from agentflow.storage.checkpointer.types import Source
from agentflow.utils.jsontext import json_text

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STEPS: list[tuple[int, Source, str, str]] = [
    (4, "input", "", '{"a":1}'),
    (5, "node", "A", '{"s":[[["a"],2]]}'),
    (9, "node", "B", '{"s":[[["a"],3]]}'),
]
FEW = [
    PackedCheckpoint(
        3 + i, START + timedelta(seconds=i * i), step, i == 0, UUID(int=i + 1), source, node, "run", delta
    )
    for i, (step, source, node, delta) in enumerate(STEPS)
]
# These three as the first format has them.
OLDEST = b64decode(
    "MQAAAAMAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAPgALgAcgMALY0oDG3rYEo7tOXL9xu9j2/JkCcnkZELoQLo"
    "uFHYRE8ATNPczYzas1Gq3tVidOQ4vpiy1JkQKjnZ4F+4Ue+uh5fc2uOnl9nyHqAHkZLHulnVYb3JZCJreQzREZlBnByaEgJ2e6Je0HwiwNqkVIKLDNEA"
    "AA=="
)


def with_texts(texts: list[str]) -> list[PackedCheckpoint]:
    """A history in which each step keeps one."""
    first = replace(FEW[0], delta="{}")
    return [
        replace(first, seq=3 + i, step=-i, is_full=i == 0, delta=json_text({"t": text}, field="t"))
        for i, text in enumerate(texts)
    ]


def prose() -> list[PackedCheckpoint]:
    """What says something else each time."""
    rng = random.Random(1)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randrange(2, 9))) for _ in range(300)]
    return with_texts([" ".join(rng.choices(words, k=60)) for _ in range(30)])


def passages() -> list[PackedCheckpoint]:
    """What says the same long thing in many places, between other things."""
    rng = random.Random(2)
    same = rng.randbytes(20_000).hex()
    return with_texts([rng.randbytes(8).hex() + same for _ in range(40)])


@pytest.mark.parametrize("checkpoints", [FEW, FEW[:1], prose(), passages()])
def test_what_was_packed_comes_back(checkpoints: list[PackedCheckpoint]) -> None:
    """All columns, to the microsecond."""
    assert unpack(pack(checkpoints)) == checkpoints


def test_an_archive_of_the_first_format_is_read() -> None:
    """Packed by the library before it knew another."""
    assert unpack(OLDEST) == FEW


def test_the_better_compression_is_taken() -> None:
    """Which one that is depends on the text."""
    assert pack(prose())[:1] != pack(passages())[:1]


@pytest.mark.parametrize("checkpoints", [prose(), passages()])
def test_a_damaged_archive_is_refused(checkpoints: list[PackedCheckpoint]) -> None:
    """Cut anywhere, or of a format that nobody knows."""
    body = pack(checkpoints)
    for damaged in (b"", body[:3], body[:100], body[:-20], b"9" + body[1:]):
        with pytest.raises(CorruptStateError):
            unpack(damaged)
