"""Cached bytes: exactly what was written, or a miss."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.storage.checkpointer.cache_codec import decode_snapshot, encode_message
from agentflow.storage.checkpointer.testing.case import message

ROW = encode_message(message(0, "hi")).encode()
STATE = [b"1", b"7", b"3", b"1", b"1", b'{"a":1}']
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(st.tuples(TEXT, st.none() | TEXT, st.none() | st.floats(allow_nan=False, allow_infinity=False)))
)
def test_messages_come_back(values: list[tuple[str, str | None, float | None]]) -> None:
    rows = [message(i, content, extra=e, sent_at=s) for i, (content, e, s) in enumerate(values)]
    state = [b"1", b"7", b"3", b"%d" % len(rows), b"%d" % len(rows), b"{}"]
    snapshot = decode_snapshot(state, [encode_message(row).encode() for row in rows])
    assert snapshot is not None
    assert list(snapshot.messages) == rows


def test_a_sound_entry_is_read() -> None:
    snapshot = decode_snapshot(STATE, [ROW])
    assert snapshot is not None
    assert (snapshot.thread_no, snapshot.head, snapshot.fields) == (7, 3, {"a": 1})


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("garbage", [None, b"", b"\xff", b"[]", b"{", b"-1x", b"null", b"[" * 100000])
def test_garbage_in_any_place_is_a_miss(place: int, garbage: bytes | None) -> None:
    assert decode_snapshot([*STATE[:place], garbage, *STATE[place + 1 :]], [ROW]) is None


@pytest.mark.parametrize(
    "rows",
    [[], [ROW, ROW], [b"\xff"], [b"null"], [b"{}"], [b"[0]"], [ROW.replace(b"0,", b'"0",', 1)],
     [b"[" * 100000]],
    ids=["none", "too many", "no text", "null", "object", "short", "position", "deep"],
)  # fmt: skip
def test_messages_that_are_none_are_a_miss(rows: list[bytes]) -> None:
    assert decode_snapshot(STATE, rows) is None


def test_parts_of_an_entry_are_a_miss() -> None:
    short: Any = STATE[:5]
    assert decode_snapshot(short, [ROW]) is None
    assert decode_snapshot([], []) is None
