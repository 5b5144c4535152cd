"""What readers of one process are handed: never with a gap, whoever comes and goes."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agentflow_hosting.run_feed import Topic
from agentflow_hosting.runs import Chunk


def chunks(*numbers: int) -> list[Chunk]:
    return [Chunk(number, f"{number}") for number in numbers]


def test_a_run_that_was_taken_over_meanwhile() -> None:
    """Its next attempt here says on from where another process had got to."""
    topic = Topic()
    topic.readers = 1
    topic.say(chunks(0, 1))
    topic.say(chunks(7, 8))
    assert topic.after(0) == []
    assert topic.after(6) == chunks(7, 8)


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=30), st.integers(-1, 60))
def test_no_gap(said: Sequence[tuple[int, bool]], after: int) -> None:
    """Whatever was said with or without readers, what comes behind a chunk is what comes right behind it."""
    topic, seq = Topic(), 0
    for count, is_read in said:
        topic.readers = int(is_read)
        topic.say(chunks(*range(seq, seq + count)))
        seq += count
    found = [chunk.seq for chunk in topic.after(after)]
    assert found == list(range(after + 1, after + 1 + len(found)))


def test_a_reader_who_comes_late_finds_no_gap() -> None:
    """What was said while nobody read is there, too: a number in the middle is never missing."""
    topic = Topic()
    topic.say([Chunk(0, "a"), Chunk(1, "b")])
    topic.readers = 1
    topic.say([Chunk(2, "c")])
    topic.readers = 0
    topic.say([Chunk(3, "d")])
    topic.readers = 1
    topic.say([Chunk(4, "e")])
    assert [chunk.seq for chunk in topic.after(-1)] == [0, 1, 2, 3, 4]
    assert [chunk.seq for chunk in topic.after(2)] == [3, 4]
    assert topic.kept == 5


def test_what_is_long_is_forgotten_from_the_front() -> None:
    """Then it is not here, and Postgres is asked."""
    topic = Topic()
    topic.say([Chunk(seq, "x" * 40_000) for seq in range(3)])
    assert topic.after(-1) == []
    assert [chunk.seq for chunk in topic.after(1)] == [2]
