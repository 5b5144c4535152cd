"""Topics: what readers of one process find there."""

from agentflow_hosting.run_feed import Topic
from agentflow_hosting.runs import Chunk


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
