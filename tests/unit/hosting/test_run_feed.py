"""What readers of one process are handed: never with a gap, whoever comes and goes."""

import uuid
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agentflow_hosting.run_feed import RunFeed, Topic
from agentflow_hosting.runs import Chunk


def chunks(*numbers: int) -> list[Chunk]:
    return [Chunk(number, f"{number}") for number in numbers]


def test_what_was_said_while_nobody_read() -> None:
    """Is not here; what came before it is let go of, so that what comes after it does not stand beside it."""
    feed, run_id = RunFeed(None), uuid.uuid4()
    with feed.at_work(run_id) as topic:
        with feed.reading(run_id):
            topic.say(chunks(0, 1, 2))
            assert topic.after(0) == chunks(1, 2)
        topic.say(chunks(3, 4))
        with feed.reading(run_id):
            topic.say(chunks(5))
            assert topic.after(0) == topic.after(2) == topic.after(3) == []
            assert topic.after(4) == chunks(5)


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
