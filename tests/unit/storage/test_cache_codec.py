"""Cached bytes: exactly what was written, or a miss."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.storage.checkpointer.cache_codec import (
    CHUNK_MESSAGES,
    chunked,
    decode_entry,
    header_of,
    pack,
    pack_text,
)
from agentflow.storage.checkpointer.testing.case import message
from agentflow.storage.checkpointer.types import Snapshot, StoredMessage

ROW = [0, "id", "user", 0, "hi", None, None]
ENTRY = [b"2 7 3 1 1", pack_text('{"a":1}'), pack([ROW])]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def entry_of(messages: list[StoredMessage], bodies: list[bytes]) -> list[bytes]:
    header = header_of(Snapshot(7, 3, len(messages), {}, messages))
    return [header.encode(), pack_text("{}"), *bodies]


@given(
    st.lists(st.tuples(TEXT, st.none() | TEXT, st.none() | st.floats(allow_nan=False, allow_infinity=False)))
)
def test_messages_come_back(values: list[tuple[str, str | None, float | None]]) -> None:
    rows = [message(i, content, extra=e, sent_at=s) for i, (content, e, s) in enumerate(values)]
    entry = decode_entry(entry_of(rows, list(chunked(rows, ()).bodies)))
    assert entry is not None
    assert list(entry.snapshot.messages) == rows


@given(st.lists(st.integers(0, 60), max_size=40))
def test_a_list_that_grows_by_chunks_holds_all_and_sends_little(turns: list[int]) -> None:
    """Whatever a turn adds: the chunks are the messages, and only short ones are ever sent again."""
    layout: tuple[int, ...] = ()
    bodies: list[bytes] = []
    messages: list[StoredMessage] = []
    for added in turns:
        messages += [message(len(messages) + i, "x") for i in range(added)]
        chunks = chunked(messages, layout)
        bodies = [*bodies[: len(bodies) - chunks.replaced], *chunks.bodies]
        assert sum(chunks.layout[len(chunks.layout) - len(chunks.bodies) :]) < added + CHUNK_MESSAGES
        layout = chunks.layout
        entry = decode_entry(entry_of(messages, bodies))
        assert entry is not None
        assert list(entry.snapshot.messages) == messages
        assert entry.base.chunks == layout
    assert sum(size < CHUNK_MESSAGES for size in layout) <= CHUNK_MESSAGES + 1


def test_a_sound_entry_is_read() -> None:
    entry = decode_entry(ENTRY)
    assert entry is not None
    assert (entry.snapshot.thread_no, entry.snapshot.head, entry.snapshot.fields) == (7, 3, {"a": 1})


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xff", b"1 7 3 1 1", b"x 7", b"2 7 3 1 -1", b"2 7 0 1 1", b"[]", b"null", pack_text("["),
     pack_text("5"), pack_text("[" * 100000), pack([ROW])[:-2], zlib.compress(b"{}"), pack([[0]]), pack([{}]),
     pack([["0", *ROW[1:]]])],
)  # fmt: skip
def test_garbage_in_any_place_is_a_miss(place: int, garbage: bytes) -> None:
    assert decode_entry([*ENTRY[:place], garbage, *ENTRY[place + 1 :]]) is None


def test_a_bomb_is_a_miss() -> None:
    """What unpacks to more than was ever written is not unpacked."""
    assert decode_entry([ENTRY[0], ENTRY[1], pack_text('"' + "x" * (65 * 2**20) + '"')]) is None


def test_parts_of_an_entry_are_a_miss() -> None:
    assert decode_entry([]) is None
    assert decode_entry(ENTRY[:1]) is None
    assert decode_entry(ENTRY[:2]) is None
    assert decode_entry([*ENTRY, pack([ROW])]) is None
