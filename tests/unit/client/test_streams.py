"""Reading a run as it goes, over connections that break."""

import json
import threading
from typing import Any

import pytest

from agentflow.client import (
    AuthenticationError,
    ConnectionFailedError,
    GoneError,
    UnreadableAnswerError,
)
from tests.support.client_faces import FACES, Face, opened
from tests.support.scripted_api import NDJSON, Reply, ScriptedApi, chunk, events, ndjson, refusal

REST = "/v1/threads/t/runs/r/stream"


def numbers(chunks: list[Any]) -> list[int | None]:
    return [found.seq for found in chunks]


def test_chunks_come_typed(api: ScriptedApi, face: Face) -> None:
    """Messages as messages, the rest of a chunk as it was said; the end of the run ends the iterator."""
    api.script += [events(chunk(0, "Hel", metadata={"node": "MAIN"}, brand_new=1), end="success")]
    (found,) = face.all(lambda client: client.stream("hi", thread_id="t"))
    assert found.message.text() == "Hel"
    assert (found.event, found.run_id, found.metadata, found.brand_new) == (
        "message",
        "r",
        {"node": "MAIN"},
        1,
    )
    (asked,) = api.asked
    assert (asked.method, asked.path) == ("POST", "/v1/graph/stream")
    assert asked.json["config"] == {"thread_id": "t"}
    assert asked.json["response_granularity"] == "low"
    assert asked.key
    assert "text/event-stream" in asked.headers["accept"]


def test_a_cut_connection_is_made_anew_behind_the_last_chunk(api: ScriptedApi, face: Face) -> None:
    """Nothing twice, nothing missing, over any number of cuts, in the middle of a line too."""
    half = json.dumps(chunk(3))[:20]
    api.script += [
        events(chunk(0), chunk(1), cut=True),
        events(chunk(2), cut=True),
        Reply(pieces=[f"id: 3\ndata: {half}"], content_type="text/event-stream"),
        events(chunk(1), chunk(2), chunk(3), chunk(4), end="success"),
    ]
    assert numbers(face.all(lambda client: client.stream("hi"))) == [0, 1, 2, 3, 4]
    assert [(asked.method, asked.path, asked.query) for asked in api.asked[1:]] == [
        ("GET", REST, {"after": "1"}),
        ("GET", REST, {"after": "2"}),
        ("GET", REST, {"after": "2"}),
    ]


def test_cut_before_the_first_chunk(api: ScriptedApi, face: Face) -> None:
    """The header fields name thread and run: all of it is asked for."""
    api.script += [events(cut=True), events(chunk(0), end="success")]
    assert numbers(face.all(lambda client: client.stream("hi"))) == [0]
    assert (api.asked[1].path, api.asked[1].query) == (REST, {})


def test_a_beginning_that_was_not_answered_is_sent_again(api: ScriptedApi, face: Face) -> None:
    """With the same key, so that there is one run."""
    api.script += [Reply(cut=True), refusal(503, "STOPPING"), events(chunk(0), end="success")]
    assert numbers(face.all(lambda client: client.stream("hi"))) == [0]
    assert len({asked.key for asked in api.asked}) == 1
    assert len({asked.body for asked in api.asked}) == 1


@pytest.mark.parametrize("status", ["running", "pending"])
def test_an_end_that_is_not_the_runs(api: ScriptedApi, face: Face, status: str) -> None:
    """A process that goes away ends its answer, with or without a word; the run goes on elsewhere."""
    api.script += [events(chunk(0)), events(chunk(1), end=status), events(chunk(2), end="success")]
    assert numbers(face.all(lambda client: client.stream("hi"))) == [0, 1, 2]


def test_a_missing_chunk_is_asked_for(api: ScriptedApi, face: Face) -> None:
    """A gap is a broken connection: what is behind it is not given before what is in it."""
    api.script += [events(chunk(0), chunk(2), end="success"), events(chunk(1), chunk(2), end="success")]
    assert numbers(face.all(lambda client: client.stream("hi"))) == [0, 1, 2]
    assert api.asked[1].query == {"after": "0"}


def test_a_stream_that_never_comes_further_ends(api: ScriptedApi, face: Face) -> None:
    """After the policy's number of tries without a chunk."""
    api.script += [events(chunk(0), cut=True)] + [events(cut=True) for _ in range(20)]
    got = []
    with pytest.raises(ConnectionFailedError):
        got += [found.seq for found in face.each(lambda client: client.stream("hi"))]
    assert len(api.asked) == 1 + 4


def test_each_chunk_begins_the_tries_anew(api: ScriptedApi, face: Face) -> None:
    """A connection that breaks behind each chunk is no reason to give up."""
    api.script += [events(chunk(n), cut=True) for n in range(12)] + [events(end="success")]
    assert numbers(face.all(lambda client: client.stream("hi"))) == list(range(12))


def test_lines_are_read_where_no_events_are_spoken(api: ScriptedApi, face: Face) -> None:
    """Their end is the run's; a break is healed all the same; breaks of lines inside a text are text."""
    api.script += [ndjson(chunk(0, "a\u2028b\u0085c\x0bd"), cut=True), ndjson(chunk(1))]
    first, second = face.all(lambda client: client.stream("hi"))
    assert first.message.text() == "a\u2028b\u0085c\x0bd"
    assert second.seq == 1
    assert len(api.asked) == 2


def test_a_stream_that_cannot_be_rejoined_says_that_it_broke(api: ScriptedApi, face: Face) -> None:
    """A service that names no run: what came is given, then the error."""
    api.script += [ndjson(chunk(None, run_id=None), cut=True, headers={})]
    stream = face.each(lambda client: client.stream("hi"))
    assert next(stream).message.text() == "say None"
    with pytest.raises(ConnectionFailedError):
        next(stream)
    assert len(api.asked) == 1


def test_refused_while_rejoining(api: ScriptedApi, face: Face) -> None:
    """Chunks that are kept no more, a key that ended meanwhile: said, not tried again."""
    for code, status, kind in (
        ("RUN_CHUNKS_GONE", 410, GoneError),
        ("UNAUTHENTICATED", 401, AuthenticationError),
    ):
        api.script[:] = [events(chunk(0), cut=True), refusal(status, code)]
        with pytest.raises(kind) as caught:
            face.all(lambda client: client.stream("hi"))
        assert caught.value.code == code
        assert not api.script


@pytest.mark.parametrize("kind", FACES)
def test_a_silent_connection_is_made_anew(kind: str, api: ScriptedApi) -> None:
    """A rejoined stream on which nothing comes, not even a ping, is asked for again without counting."""
    over = threading.Event()
    silent = [events(hung=over, cut=True) for _ in range(6)]
    api.script += [events(chunk(0), cut=True), *silent, events(chunk(1), end="success")]
    with opened(kind, api.base_url, stream_idle_s=0.05) as face:
        assert numbers(face.all(lambda client: client.stream("hi"))) == [0, 1]
    over.set()


def test_left_early(api: ScriptedApi, face: Face) -> None:
    """Who stops reading hangs up, and nothing is asked for again."""
    over = threading.Event()
    api.script += [events(chunk(0), chunk(1), hung=over)]
    stream = face.each(lambda client: client.stream("hi"))
    assert next(stream).seq == 0
    stream.close()
    over.set()
    assert api.hung_up()
    assert len(api.asked) == 1


@pytest.mark.parametrize("text", ["no json\n", "[]\n", '{"seq": 0}\n'])
def test_a_line_that_is_no_chunk(api: ScriptedApi, face: Face, text: str) -> None:
    """Said as what it is; asking again would not help."""
    api.script += [Reply(pieces=[text], content_type=NDJSON, headers={"x-run-id": "r"})]
    with pytest.raises(UnreadableAnswerError):
        face.all(lambda client: client.stream("hi"))


def test_pings_many_pieces_and_line_ends(api: ScriptedApi, face: Face) -> None:
    """Comments say nothing; events may come in any pieces, with either end of line, data in many lines."""
    said = f"id: 0\r\nevent: message\r\ndata:{json.dumps(chunk(0))}\r\n\r\n"
    text = f": ping\n\n{said}event: end\ndata: {{\ndata: }}\n\n"
    api.script += [
        Reply(pieces=[text[at : at + 3] for at in range(0, len(text), 3)], content_type="text/event-stream")
    ]
    assert numbers(face.all(lambda client: client.stream("hi"))) == [0]


def test_runs_are_read_from_anywhere(api: ScriptedApi, face: Face) -> None:
    """`runs.stream` begins one, `runs.rejoin` reads one that is there, behind any chunk of it."""
    api.script += [events(chunk(0), end="success"), events(chunk(5), cut=True), events(end="success")]
    options = {"on_disconnect": "cancel", "multitask_strategy": "reject", "metadata": {"a": 1}}
    assert numbers(face.all(lambda client: client.runs.stream("t", "hi", **options))) == [0]
    assert api.asked[0].path == "/v1/threads/t/runs/stream"
    assert api.asked[0].json.items() >= options.items()
    assert numbers(face.all(lambda client: client.runs.rejoin("t", "r", after=4))) == [5]
    assert [asked.query for asked in api.asked[1:]] == [{"after": "4"}, {"after": "5"}]


def test_ids_of_any_kind_are_rejoined(api: ScriptedApi, face: Face) -> None:
    """The field that names the thread holds bytes of UTF-8."""
    name = "tenänt:user 1"
    headers = {"x-run-id": "r", "x-thread-id": name.encode().decode("latin-1")}
    api.script += [events(chunk(0, thread_id=name), cut=True, headers=headers), events(end="success")]
    face.all(lambda client: client.stream("hi"))
    assert api.asked[1].path == "/v1/threads/ten%C3%A4nt:user%201/runs/r/stream"
