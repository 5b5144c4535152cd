"""The file of tombstones: read back as written, and never in part."""

import uuid
from datetime import UTC, datetime

import pytest

from agentflow_tenancy.tombstones import BadTombstonesError, Tombstone, read_tombstones, written

TOMBSTONES = [
    Tombstone(uuid.UUID(int=1), None, datetime(2026, 3, 1, 12, tzinfo=UTC), uuid.UUID(int=2)),
    Tombstone(uuid.UUID(int=1), bytes(range(32)), datetime(2026, 3, 2, 12, tzinfo=UTC), uuid.UUID(int=3)),
]


def test_read_as_written() -> None:
    assert read_tombstones(written(TOMBSTONES)) == TOMBSTONES
    assert read_tombstones("") == []


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"tenant_id"', '"tenant"'),
        ("-000000000001", "-00000000000x"),
        ("null", '"00"'),
        ("null", "7"),
        ("+00:00", ""),
        ("{", "["),
    ],
)
def test_no_part_of_a_file_is_read(good: str, bad: str) -> None:
    """A line that is none is told by its number."""
    text = written(TOMBSTONES)
    lines = text.splitlines(keepends=True)
    with pytest.raises(BadTombstonesError, match="Line 2"):
        read_tombstones(lines[1] + lines[0].replace(good, bad, 1))


def test_a_file_that_was_cut_off() -> None:
    """At the end of a line's text, where nothing else shows it."""
    with pytest.raises(BadTombstonesError, match="cut off"):
        read_tombstones(written(TOMBSTONES)[:-1])
