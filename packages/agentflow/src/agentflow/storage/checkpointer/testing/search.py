"""Threads found by what they are, deleted so, and their attributes changed."""
# ruff: noqa: S101

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from agentflow.errors import InvalidError, ThreadNotFoundError, TooLargeError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.filters import SORTS, ThreadChange, ThreadFilter, ThreadPlace, sort_key
from agentflow.storage.checkpointer.testing.case import (
    Cases,
    Thread,
    contents,
    message,
    new_scope,
    raised,
    write_after,
)
from agentflow.storage.checkpointer.types import BLOCKS, NewThread, Scope, StoredMessage

CASES = Cases()

METADATA: Final[dict[str, dict[str, Any]]] = {
    "plain": {"team": "red", "n": 1, "on": True, "none": None},
    "deep": {"team": "blue", "of": {"a": {"b": [1, {"c": "x"}], "d": 2}}, "tags": ["p", "q", "q"]},
    "sql": {"'; DROP TABLE x; --": "'", "%": "_", "a.b": "$1", "k\\": '"'},
    "numbers": {"n": 1.5, "big": 10**30, "zero": 0, "list": [[1, 2], []]},
    "empty": {},
}


@CASES.add
async def metadata_is_contained(checkpointer: BaseCheckpointer) -> None:
    """Each key with its value, at any depth; no value is taken for another, and no text for a pattern."""
    scope = new_scope()
    for thread_id, metadata in METADATA.items():
        await _make(checkpointer, scope, thread_id, NewThread(metadata=metadata))
    expected: list[tuple[dict[str, Any], list[str]]] = [
        ({}, sorted(METADATA)),
        ({"team": "red"}, ["plain"]),
        ({"team": "red", "n": 1}, ["plain"]),
        ({"n": 1.0}, ["plain"]),
        ({"team": "r"}, []),
        ({"team": "%"}, []),
        ({"n": True}, []),
        ({"on": 1}, []),
        ({"on": True}, ["plain"]),
        ({"none": None}, ["plain"]),
        ({"missing": None}, []),
        ({"of": {}}, ["deep"]),
        ({"of": {"a": {"b": [{"c": "x"}]}}}, ["deep"]),
        ({"of": {"a": {"b": [{"c": "y"}]}}}, []),
        ({"of": {"a": {"b": {"c": "x"}}}}, []),
        ({"tags": ["q", "p"]}, ["deep"]),
        ({"tags": ["q", "r"]}, []),
        ({"tags": "q"}, []),
        ({"tags": []}, ["deep"]),
        ({"'; DROP TABLE x; --": "'"}, ["sql"]),
        ({"%": "_"}, ["sql"]),
        ({"_": "_"}, []),
        ({"a": {"b": "$1"}}, []),
        ({"k\\": '"'}, ["sql"]),
        ({"big": 10**30}, ["numbers"]),
        ({"big": 10**30 + 1}, []),
        ({"zero": False}, []),
        ({"list": [[2]]}, ["numbers"]),
    ]
    for metadata, ids in expected:
        wanted = ThreadFilter(metadata=metadata)
        assert await _ids(checkpointer, scope, wanted) == ids, metadata
        assert await checkpointer.count_threads(scope, wanted) == len(ids), metadata


@CASES.add
async def texts_are_parts_of_what_is_said(checkpointer: BaseCheckpointer) -> None:
    """In the context as it is now, whatever the case; never a pattern, nor a word of the format."""
    scope = new_scope()
    threads: dict[str, list[StoredMessage]] = {
        "plain": [message(0, "Hello World"), message(1, "100% of a_b")],
        "blocks": [_blocks(0, '[{"type":"text","text":"say \\"Hi\\"\\nthen C:\\\\dir"},'
                              '{"type":"image","media":{"url":"https://secret.example"}}]')],
        "tools": [_blocks(0, '[{"type":"tool_result","call_id":"call-7","output":"Oslo: 3 degrees",'
                             '"is_error":false}]')],
        "nul": [_blocks(0, '[{"type":"text","text":"before\\u0000\\u0000after"}]')],
        "escapes": [_blocks(0, '[{"type":"text","text":"told \\\\u0000 and \\\\\\u0000 end"}]')],
        "nothing": [],
    }  # fmt: skip
    for thread_id, messages in threads.items():
        await Thread(checkpointer, scope, thread_id).write({"text": "of the state"}, added=messages)
    expected = {
        "hello": ["plain"], "WORLD": ["plain"], "lo wo": ["plain"], "0%": ["plain"], "a_b": ["plain"],
        "%": ["plain"], "_": ["plain"], "a.b": [], "hello%world": [], "'": [], "\\": ["blocks", "escapes"],
        'say "hi"': ["blocks"], 'hi"\nthen': ["blocks"], "c:\\DIR": ["blocks"], "nthen": [], "text": [],
        "type": [], "secret": [], "oslo": ["tools"], "call-7": [], "false": [], "before": ["nul"],
        "after": ["nul"], "u0000": ["escapes"], "told \\U0000 AND": ["escapes"], " end": ["escapes"],
        "of the state": [],
    }  # fmt: skip
    for text, ids in expected.items():
        assert await _ids(checkpointer, scope, ThreadFilter(text=text)) == ids, text
        assert await checkpointer.count_threads(scope, ThreadFilter(text=text)) == len(ids), text
    await Thread(checkpointer, scope, "plain").write(removed=[0])
    assert await _ids(checkpointer, scope, ThreadFilter(text="hello")) == []


@CASES.add
async def conditions_are_all_met(checkpointer: BaseCheckpointer) -> None:
    """User, name, times and ids, each alone and together; a time is the first one that is meant."""
    scope = new_scope()
    for number in range(4):
        user, name = f"u{number % 2}", ["Plan 100%", "plan_b", None, "Other"][number]
        await _make(checkpointer, scope, f"t{number}", NewThread(user, name, {"n": number}))
    made = [
        info.created_at for info in await checkpointer.search_threads(scope, ThreadFilter(), sort="thread_id")
    ]
    await Thread(checkpointer, scope, "t0").write({"changed": True})
    changed = await checkpointer.get_thread(scope, "t0")
    assert changed is not None
    elsewhere = timezone(timedelta(hours=-7))
    for wanted, ids in (
        (ThreadFilter(user_id="u1"), ["t1", "t3"]),
        (ThreadFilter(user_id="u%"), []),
        (ThreadFilter(name="PLAN"), ["t0", "t1"]),
        (ThreadFilter(name="n_"), ["t1"]),
        (ThreadFilter(name="%"), ["t0"]),
        (ThreadFilter(ids=["t3", "t1", "x"]), ["t1", "t3"]),
        (ThreadFilter(ids=[]), []),
        (ThreadFilter(status="idle", name="n_"), ["t1"]),
        (ThreadFilter(status="running"), []),
        (ThreadFilter(created_after=made[1]), ["t1", "t2", "t3"]),
        (ThreadFilter(created_before=made[1].astimezone(elsewhere)), ["t0"]),
        (ThreadFilter(created_after=made[1], created_before=made[3]), ["t1", "t2"]),
        (ThreadFilter(updated_after=changed.updated_at), ["t0"]),
        (ThreadFilter(updated_before=changed.updated_at), ["t1", "t2", "t3"]),
        (ThreadFilter(user_id="u1", name="plan", metadata={"n": 1}, created_after=made[0]), ["t1"]),
        (ThreadFilter(user_id="u1", name="plan", metadata={"n": 3}), []),
    ):
        assert await _ids(checkpointer, scope, wanted) == ids, wanted
        assert await checkpointer.count_threads(scope, wanted) == len(ids), wanted


@CASES.add
async def pages_follow_one_another(checkpointer: BaseCheckpointer) -> None:
    """In every order each thread is on one page, whatever the size of the pages."""
    scope = new_scope()
    for thread_id in ("b", "a%", "é", "A", "ab", "z"):
        await _make(checkpointer, scope, thread_id)
    await Thread(checkpointer, scope, "b").write({"changed": True})
    every = {sort: await checkpointer.search_threads(scope, ThreadFilter(), sort=sort) for sort in SORTS}
    ids = {sort: [info.thread_id for info in found] for sort, found in every.items()}
    assert ids["created_at"] == ["b", "a%", "é", "A", "ab", "z"]
    assert ids["-created_at"] == ids["created_at"][::-1]
    assert ids["updated_at"] == ["a%", "é", "A", "ab", "z", "b"]
    assert ids["-updated_at"] == ids["updated_at"][::-1]
    assert ids["thread_id"] == sorted(ids["thread_id"])
    for sort in SORTS:
        for limit in (1, 2, 5):
            found: list[str] = []
            after: ThreadPlace | None = None
            while page := await checkpointer.search_threads(
                scope, ThreadFilter(), sort=sort, after=after, limit=limit
            ):
                last = page[-1]
                after = ThreadPlace(sort_key(sort, last.created_at, last.updated_at), last.thread_id)
                found += [info.thread_id for info in page]
            assert found == ids[sort], (sort, limit)
    far = ThreadPlace(2**63 - 1, "\U0010ffff")
    assert list(await checkpointer.search_threads(scope, ThreadFilter(), after=far)) == []


@CASES.add
async def what_is_found_can_be_deleted(checkpointer: BaseCheckpointer) -> None:
    """All that meets the conditions and nothing else, in parts; and never without a condition."""
    scope = new_scope()
    for number in reversed(range(7)):
        thread = Thread(checkpointer, scope, f"t{number}")
        await _make(checkpointer, scope, thread.id, NewThread(metadata={"odd": bool(number % 2)}))
        await thread.write({}, added=[message(0, f"says {number}")])
    odd = ThreadFilter(metadata={"odd": True})
    assert list(await checkpointer.delete_threads(scope, odd, limit=2)) == ["t1", "t3"]
    assert list(await checkpointer.delete_threads(scope, odd, limit=2)) == ["t5"]
    assert list(await checkpointer.delete_threads(scope, odd)) == []
    assert list(await checkpointer.delete_threads(scope, ThreadFilter(text="SAYS 4", ids=["t4", "t6"]))) == [
        "t4"
    ]
    assert list(await checkpointer.delete_threads(scope, ThreadFilter(ids=[]))) == []
    for wanted in (ThreadFilter(), ThreadFilter(metadata={})):
        await raised(InvalidError, checkpointer.delete_threads(scope, wanted))
    assert await _ids(checkpointer, scope, ThreadFilter()) == ["t0", "t2", "t6"]
    assert await checkpointer.load(scope, "t1") is None
    new = await Thread(checkpointer, scope, "t1").write({"new": True})
    assert new.head == 1
    assert contents(await Thread(checkpointer, scope, "t6").load()) == ["says 6"]


@CASES.add
async def attributes_change_alone(checkpointer: BaseCheckpointer) -> None:
    """Name and keys of the metadata are set or taken away; what was not named, and the version, stay."""
    thread = Thread(checkpointer)
    await _make(checkpointer, thread.scope, thread.id, NewThread("u", "old", {"a": 1, "b": {"c": 2}, "%": 3}))
    before = await checkpointer.get_thread(thread.scope, thread.id)
    assert before is not None

    async def change(**values: Any) -> tuple[str | None, dict[str, Any]]:
        info = await checkpointer.update_thread(thread.scope, thread.id, ThreadChange(**values))
        assert info == await checkpointer.get_thread(thread.scope, thread.id)
        assert replace(info, name=before.name, metadata=before.metadata) == before
        return info.name, info.metadata

    assert await change() == ("old", before.metadata)
    assert await change(sets_name=True, name="new'%") == ("new'%", before.metadata)
    assert await change(metadata={"a": None, "missing": None, "%": None}) == ("new'%", {"b": {"c": 2}})
    assert await change(metadata={"b": {"d": [1]}, "e": "x"}) == ("new'%", {"b": {"d": [1]}, "e": "x"})
    assert await change(sets_name=True) == (None, {"b": {"d": [1]}, "e": "x"})
    large = ThreadChange(metadata={"large": "x" * 65_000})
    await checkpointer.update_thread(thread.scope, thread.id, large)
    more = ThreadChange(metadata={"more": "x" * 65_000})
    await raised(TooLargeError, checkpointer.update_thread(thread.scope, thread.id, more))
    await raised(ThreadNotFoundError, checkpointer.update_thread(thread.scope, "missing", more))
    for wrong in (
        ThreadChange(sets_name=True, name="a\0"),
        ThreadChange(metadata={"a\0": 1}),
        ThreadChange(metadata={"a\0": None}),
        ThreadChange(metadata={"a": "\0"}),
        ThreadChange(metadata={"a": float("nan")}),
        ThreadChange(metadata={"a": "\ud800"}),
        ThreadChange(sets_expiry=True, expires_at=datetime(2031, 1, 1)),  # noqa: DTZ001 - that is the point
    ):
        await raised(InvalidError, checkpointer.update_thread(thread.scope, thread.id, wrong))
    committed = await thread.write({"goes": "on"})
    assert committed.head == before.head + 1


@CASES.add
async def threads_have_their_own_end(checkpointer: BaseCheckpointer) -> None:
    """Set, taken away, and kept by whoever writes on; nothing else changes with it."""
    thread, at = Thread(checkpointer), datetime(2031, 1, 1, 12, tzinfo=UTC)
    await thread.write({"i": 0})
    for expires_at in (at, None, at):
        change = ThreadChange(sets_expiry=True, expires_at=expires_at)
        assert (await checkpointer.update_thread(thread.scope, thread.id, change)).expires_at == expires_at
    await thread.write({"i": 1})
    named = ThreadChange(sets_name=True, name="named")
    assert (await checkpointer.update_thread(thread.scope, thread.id, named)).expires_at == at


@CASES.add
async def threads_past_their_end_are_swept(checkpointer: BaseCheckpointer) -> None:
    """And no other, however old."""
    thread, other = Thread(checkpointer), Thread(checkpointer)
    for one, years in ((thread, -1), (other, 1)):
        await one.write({"i": 0})
        change = ThreadChange(sets_expiry=True, expires_at=datetime.now(UTC) + timedelta(days=365 * years))
        await checkpointer.update_thread(one.scope, one.id, change)
    assert await checkpointer.delete_expired() >= 1
    assert await checkpointer.get_thread(thread.scope, thread.id) is None
    assert await checkpointer.get_thread(other.scope, other.id) is not None


@CASES.add
async def searches_that_cannot_be_asked(checkpointer: BaseCheckpointer) -> None:
    """Refused with a typed error: NUL, what is no text or no data, times without a zone, forged places."""
    scope = new_scope()
    await _make(checkpointer, scope, "t")
    naive = datetime(2020, 1, 1)  # noqa: DTZ001 - what is refused
    early = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
    for wrong in (
        ThreadFilter(text="a\0"), ThreadFilter(text="\ud800"), ThreadFilter(user_id="\0"),
        ThreadFilter(name="\0"), ThreadFilter(ids=[""]),
        ThreadFilter(metadata={"\0": 1}), ThreadFilter(metadata={"a": ["\0"]}), ThreadFilter(ids=["a\0"]),
        ThreadFilter(metadata={"a": float("inf")}), ThreadFilter(metadata={"a": object()}),
        ThreadFilter(updated_after=naive), ThreadFilter(created_before=early),
    ):  # fmt: skip
        await raised(InvalidError, checkpointer.search_threads(scope, wrong))
        await raised(InvalidError, checkpointer.count_threads(scope, wrong))
        await raised(InvalidError, checkpointer.delete_threads(scope, wrong))
    for place in (ThreadPlace(2**63, "a"), ThreadPlace(0, "a\0"), ThreadPlace(0, "\ud800")):
        await raised(InvalidError, checkpointer.search_threads(scope, ThreadFilter(), after=place))
    await raised(InvalidError, checkpointer.search_threads(scope, ThreadFilter(), limit=-1))
    await raised(InvalidError, checkpointer.search_threads(scope, ThreadFilter(), sort="name"))  # type: ignore[arg-type]
    assert await _ids(checkpointer, scope, ThreadFilter(created_before=datetime.max.replace(tzinfo=UTC))) == [
        "t"
    ]


@CASES.add
async def nobody_finds_what_is_not_his(checkpointer: BaseCheckpointer) -> None:
    """Neither another tenant's threads nor, for a principal, another user's are found, changed or deleted."""
    scope, other = new_scope(), new_scope()
    mine = replace(scope, principal="u1")
    for where, thread_id, user in (
        (scope, "a", "u1"),
        (scope, "b", "u2"),
        (other, "c", "u1"),
        (other, "a", "u1"),
    ):
        await _make(checkpointer, where, thread_id, NewThread(user, "name", {"k": 1}))
        await Thread(checkpointer, where, thread_id).write({}, added=[message(0, "words")])
    for wanted in (
        ThreadFilter(),
        ThreadFilter(text="words"),
        ThreadFilter(metadata={"k": 1}),
        ThreadFilter(name="na"),
    ):
        assert await _ids(checkpointer, scope, wanted) == ["a", "b"]
        assert await _ids(checkpointer, mine, wanted) == ["a"]
        assert await checkpointer.count_threads(mine, wanted) == 1
    assert await _ids(checkpointer, mine, ThreadFilter(user_id="u2")) == []
    await raised(ThreadNotFoundError, checkpointer.update_thread(mine, "b", ThreadChange(sets_name=True)))
    assert list(await checkpointer.delete_threads(mine, ThreadFilter(ids=["a", "b", "c"]))) == ["a"]
    assert await _ids(checkpointer, scope, ThreadFilter()) == ["b"]
    assert await _ids(checkpointer, other, ThreadFilter()) == ["a", "c"]


async def _make(
    checkpointer: BaseCheckpointer, scope: Scope, thread_id: str, attributes: NewThread | None = None
) -> None:
    async with checkpointer.session(scope, thread_id, new_thread=attributes) as session:
        await session.append(write_after(None))


async def _ids(checkpointer: BaseCheckpointer, scope: Scope, wanted: ThreadFilter) -> Sequence[str]:
    return [info.thread_id for info in await checkpointer.search_threads(scope, wanted, sort="thread_id")]


def _blocks(pos: int, content: str) -> StoredMessage:
    return message(pos, content, content_kind=BLOCKS)
