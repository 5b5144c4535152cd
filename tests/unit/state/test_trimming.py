"""Making conversations short: pairs stay together, limits hold, order stays."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentflow.core.state import (
    ImageBlock,
    MediaRef,
    Message,
    RemoteToolCallBlock,
    TokenUsages,
    ToolCallBlock,
    ToolResultBlock,
    Trimmer,
    estimate_tokens,
    reported_tokens,
    tokens_by,
    trim_messages,
)
from agentflow.core.state.exchanges import legal_cuts
from agentflow.core.state.pending_calls import pending_calls
from agentflow.errors import ContextTooLargeError, InvalidInputError


def said(text: str, role: Any = "user") -> Message:
    return Message.text_message(text, role)


def calls(*ids: str, remote: bool = False) -> Message:
    kind: Any = RemoteToolCallBlock if remote else ToolCallBlock
    return Message(role="assistant", content=[kind(id=one, name="look", args={"at": one}) for one in ids])


def results(*ids: str) -> Message:
    return Message.tool_message([ToolResultBlock(call_id=one, output=f"of {one}") for one in ids])


def of_words(message: Message) -> int:
    """A counter that is easy to reckon with: one, and one a word."""
    return 1 + len(message.text().split())


ID = st.sampled_from("abc")
IDS = st.lists(ID, min_size=1, max_size=3, unique=True)
WORDS = st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=6).map(" ".join)
MESSAGE = st.one_of(
    st.builds(said, WORDS, st.sampled_from(["user", "assistant", "system"])),
    IDS.map(lambda ids: calls(*ids)),
    IDS.map(lambda ids: calls(*ids, remote=True)),
    IDS.map(lambda ids: results(*ids)),
)
CONVERSATION = st.lists(MESSAGE, max_size=14)
ROLES = st.sampled_from([None, "user", "assistant", ("user", "assistant")])
SETTINGS = st.fixed_dictionaries(
    {
        "max_tokens": st.one_of(st.none(), st.integers(1, 40)),
        "max_messages": st.integers(1, 14),
        "keep": st.sampled_from(["last", "first"]),
        "keep_system": st.booleans(),
        "start_on": ROLES,
        "end_on": ROLES,
        "cut_text": st.booleans(),
    }
)


def called(message: Message) -> set[str]:
    return {call.id for call in message.tool_calls()} | {call.id for call in message.remote_tool_calls()}


def partners(messages: Sequence[Message]) -> set[frozenset[str]]:
    """Pairs that may not be parted, found the slow way: each result with the call it answers."""
    found: set[frozenset[str]] = set()
    for at, message in enumerate(messages):
        for result in message.tool_results():
            made = [earlier for earlier in messages[:at] if result.call_id in called(earlier)]
            if made:
                found.add(frozenset((made[-1].message_id, message.message_id)))
    return found


@given(CONVERSATION, SETTINGS)
def test_what_holds_whatever_is_trimmed(messages: list[Message], settings: dict[str, Any]) -> None:
    """Limits, order, pairs, system messages, and that trimming twice is trimming once."""
    trimmer = Trimmer(**settings, count=of_words)
    refused: ContextTooLargeError | None = None
    kept: list[Message] = []
    try:
        kept = trimmer.trim(messages)
    except ContextTooLargeError as error:
        refused = error
    if refused is not None:
        over = refused.tokens is not None and refused.tokens > settings["max_tokens"]
        assert over or refused.messages > settings["max_messages"]
        return
    assert len(kept) <= settings["max_messages"]
    if settings["max_tokens"] is not None:
        assert sum(map(of_words, kept)) <= settings["max_tokens"]
    ids = [message.message_id for message in kept]
    assert ids == [message.message_id for message in messages if message.message_id in set(ids)]
    for pair in partners(messages):
        assert len(pair & set(ids)) in (0, len(pair))
    if settings["keep_system"]:
        assert {m.message_id for m in messages if m.role == "system"} <= set(ids)
    whole = {message.message_id: message for message in messages}
    cut = [message for message in kept if message != whole[message.message_id]]
    assert len(cut) <= int(settings["cut_text"])
    assert all(one.text() in whole[one.message_id].text() for one in cut)
    assert trimmer.trim(kept) == kept


@given(CONVERSATION)
@example(
    [
        calls("a"),
        said("leave it"),
        calls("a", remote=True),
        said("one", "assistant"),
        said("two", "assistant"),
    ]
)
def test_a_call_that_waits_stays_with_the_end(messages: list[Message]) -> None:
    """What answers it is still to come."""
    waiting = {pending.message_id for pending in pending_calls(messages)}
    for cut in legal_cuts(messages)[1:-1]:
        assert not waiting & {message.message_id for message in messages[:cut]}


@given(CONVERSATION)
def test_what_fits_is_left_as_it_is(messages: list[Message]) -> None:
    """With either end kept."""
    assert trim_messages(messages, max_tokens=10**6) == messages
    assert trim_messages(messages, max_messages=100, keep="first") == messages


def test_a_turn_begins_with_its_user() -> None:
    """Nine messages would fit, but the newest turn that is whole has two."""
    turns = [said(f"question {n}") if n % 2 == 0 else said(f"answer {n}", "assistant") for n in range(10)]
    assert trim_messages(turns, max_messages=3) == turns[8:]
    assert trim_messages(turns, max_messages=3, start_on=None) == turns[7:]


def test_within_one_long_turn_as_many_as_fit_stay() -> None:
    """A loop of tools that is longer than the limit: its newest rounds are what the model goes on from."""
    rounds = [message for n in range(5) for message in (calls(f"c{n}"), results(f"c{n}"))]
    assert trim_messages([said("go"), *rounds], max_messages=5) == rounds[6:]


def test_parallel_calls_and_late_results() -> None:
    """Three calls of one message, answered by two messages with a user's word between: all or nothing."""
    exchange = [calls("a", "b", "c"), results("b"), said("and?"), results("a", "c")]
    talk = [said("one"), *exchange, said("two")]
    assert legal_cuts(talk) == [0, 1, 5, 6]
    assert trim_messages(talk, max_messages=4) == [talk[-1]]
    assert trim_messages(talk, max_messages=5, start_on=None) == talk[1:]


def test_a_call_handed_to_the_client() -> None:
    """Its two blocks stand in two messages; the result answers both."""
    talk = [said("one"), calls("a"), calls("a", remote=True), results("a"), said("two")]
    assert legal_cuts(talk) == [0, 1, 4, 5]


def test_ids_that_models_use_again() -> None:
    """The result belongs to the last call of that id: the earlier round may go."""
    talk = [said("one"), calls("a"), results("a"), said("two"), calls("a"), results("a")]
    assert legal_cuts(talk) == [0, 1, 3, 4, 6]


def test_a_part_of_a_text() -> None:
    """Of the newest message its end, of the oldest its beginning; never of one that calls a tool."""
    long = said("one two three four five six")
    assert trim_messages([long], max_tokens=4, count=of_words, cut_text=True)[0].text().split() == [
        "four",
        "five",
        "six",
    ]
    first = trim_messages([long], max_tokens=4, count=of_words, cut_text=True, keep="first")
    assert first[0].text().split() == ["one", "two", "three"]
    assert first[0].message_id == long.message_id
    with pytest.raises(ContextTooLargeError):
        trim_messages([said("go"), calls("a"), results("a")], max_messages=1, cut_text=True)


def test_nothing_useful_left_is_an_error() -> None:
    """It says what had to stay and what was allowed: a model that is sent nothing says less."""
    with pytest.raises(
        ContextTooLargeError, match="newest exchange alone is 1 messages of 7 tokens"
    ) as caught:
        trim_messages([said("hi"), said("one two three four five six")], max_tokens=3, count=of_words)
    assert (caught.value.tokens, caught.value.max_tokens, caught.value.max_messages) == (7, 3, None)
    with pytest.raises(ContextTooLargeError, match="system messages alone are 2 messages,"):
        trim_messages([said("a", "system"), said("b", "system"), said("c")], max_messages=1)


@pytest.mark.parametrize("limits", [{}, {"max_tokens": 0}, {"max_messages": -1}])
def test_limits_that_are_none(limits: dict[str, Any]) -> None:
    """One at least, each at least 1."""
    with pytest.raises(InvalidInputError):
        trim_messages([said("hi")], **limits)


def test_only_what_stays_is_counted() -> None:
    """Of ten thousand messages a counter sees those that fit, and one more."""
    seen: list[Message] = []

    def count(message: Message) -> int:
        seen.append(message)
        return 1

    kept = trim_messages([said(str(n)) for n in range(10_000)], max_tokens=20, count=count)
    assert (len(kept), len(seen)) == (20, 21)


def test_counters() -> None:
    """Estimates go by bytes, tokenizers by their tokens, and what a model reported is believed."""
    english = said("The quick brown fox jumps over the lazy dog.")
    assert estimate_tokens(english) == 4 + 11
    assert estimate_tokens(said("你好世界")) == 4 + 3
    picture = Message(role="user", content=[ImageBlock(media=MediaRef(url="https://x.example/a.png"))])
    assert estimate_tokens(picture) == 1004
    assert estimate_tokens(calls("abc")) > 4
    by_words = tokens_by(str.split)
    assert by_words(english) == 4 + 9
    assert by_words(results("a", "b")) == 4 + 4
    answer = said("Yes.", "assistant").model_copy(
        update={"usages": TokenUsages(completion_tokens=90, reasoning_tokens=60)}
    )
    assert reported_tokens()(answer) == 4 + 30
    assert reported_tokens(by_words)(english) == 4 + 9
