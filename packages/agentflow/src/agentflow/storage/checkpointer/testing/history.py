"""History: every version can be read back exactly as it was."""
# ruff: noqa: S101

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from agentflow.errors import CheckpointNotFoundError, InvalidInputError, ThreadNotFoundError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.testing.case import Cases, Thread, message, raised, write_after
from agentflow.storage.checkpointer.types import StoredMessage

CASES = Cases()


@CASES.add
async def every_version_reads_back(checkpointer: BaseCheckpointer) -> None:
    """After 100 changes of every kind each version is what it was when it was written."""
    thread = Thread(checkpointer)
    change = _Changes(seed=7)
    expected: list[tuple[dict[str, Any], list[StoredMessage]]] = []
    async with checkpointer.session(thread.scope, thread.id) as session:
        for _ in range(100):
            fields, added, removed = change.next()
            await session.append(write_after(session.snapshot, fields, added=added, removed=removed))
            expected.append((fields, [change.alive[pos] for pos in sorted(change.alive)]))
    for seq, (fields, rows) in enumerate(expected, start=1):
        snapshot = await checkpointer.load_at(thread.scope, thread.id, seq)
        assert snapshot.head == seq
        assert repr(snapshot.fields) == repr(fields), f"fields of version {seq}"
        assert list(snapshot.messages) == rows, f"messages of version {seq}"
    assert (await thread.load()).fields == expected[-1][0]


@CASES.add
async def pruning_keeps_the_last_versions_exactly(checkpointer: BaseCheckpointer) -> None:
    """What is kept reads as before under its number, also written on and packed; the rest is gone."""
    thread = Thread(checkpointer)
    change = _Changes(seed=11)
    expected: list[tuple[dict[str, Any], list[StoredMessage]]] = []

    async def write(times: int) -> None:
        async with checkpointer.session(thread.scope, thread.id) as session:
            await session.reload()
            for _ in range(times):
                fields, added, removed = change.next()
                await session.append(write_after(session.snapshot, fields, added=added, removed=removed))
                expected.append((fields, [change.alive[pos] for pos in sorted(change.alive)]))

    async def check(first: int) -> None:
        head = len(expected)
        for seq in range(first, head + 1):
            snapshot = await checkpointer.load_at(thread.scope, thread.id, seq)
            assert repr(snapshot.fields) == repr(expected[seq - 1][0]), f"fields of version {seq}"
            assert list(snapshot.messages) == expected[seq - 1][1], f"messages of version {seq}"
        for seq in range(first):
            await raised(CheckpointNotFoundError, checkpointer.load_at(thread.scope, thread.id, seq))
        history = await checkpointer.history(thread.scope, thread.id)
        assert [info.seq for info in history] == list(range(head, first - 1, -1))
        page = await checkpointer.history(thread.scope, thread.id, before=head, limit=3)
        assert [info.seq for info in page] == list(range(head - 1, max(first, head - 3) - 1, -1))
        assert (await thread.load()).head == head

    await write(50)
    infos = await checkpointer.history(thread.scope, thread.id)
    await checkpointer.pack_idle(idle_for=timedelta(0))
    await check(1)
    assert await checkpointer.history(thread.scope, thread.id) == infos
    await write(10)
    assert await checkpointer.prune_thread(thread.scope, thread.id, keep_last=40) == 20
    await check(21)
    assert await checkpointer.prune_thread(thread.scope, thread.id, keep_last=40) == 0
    await write(5)
    await checkpointer.pack_idle(idle_for=timedelta(0))
    await check(21)
    await checkpointer.prune(keep_last=1, idle_for=timedelta(0))
    await check(65)
    await write(3)
    await check(65)
    await raised(InvalidInputError, checkpointer.prune_thread(thread.scope, thread.id, keep_last=0))
    missing = checkpointer.prune_thread(thread.scope, "missing", keep_last=1)
    await raised(ThreadNotFoundError, missing)


class _Changes:
    """Random changes to fields and context, the same ones each time."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._fields: dict[str, Any] = {"log": [], "map": {}}
        self._next_pos = 0
        self.alive: dict[int, StoredMessage] = {}

    def next(self) -> tuple[dict[str, Any], list[StoredMessage], list[int]]:
        return self._change_fields(), *self._change_context()

    def _change_fields(self) -> dict[str, Any]:
        pick = self._random
        fields = {**self._fields, "map": dict(self._fields["map"])}
        kind = pick.randrange(6)
        if kind == 0:
            fields["log"] = [*fields["log"], pick.randrange(100)]
        elif kind == 1:
            fields["log"] = fields["log"][: len(fields["log"]) // 2]
        elif kind == 2:
            fields["map"][f"k{pick.randrange(5)}"] = {"v": [pick.random()]}
        elif kind == 3:
            fields["map"].pop(f"k{pick.randrange(5)}", None)
        elif kind == 4:
            fields[f"x{pick.randrange(3)}"] = pick.choice([None, 1, 1.0, True, "text", 10**25])
        self._fields = fields
        return fields

    def _change_context(self) -> tuple[list[StoredMessage], list[int]]:
        pick = self._random
        removed = [pos for pos in sorted(self.alive) if pick.random() < 0.15]
        for pos in removed:
            del self.alive[pos]
        places = [pos for pos in removed if pick.random() < 0.5]
        places += [self._next_pos + i for i in range(pick.randrange(3))]
        added = [message(pos, f"text {pick.random()}") for pos in places]
        self.alive |= {row.pos: row for row in added}
        self._next_pos = max([self._next_pos, *(pos + 1 for pos in places)])
        return added, removed


@CASES.add
async def forks_name_what_they_go_on_from(checkpointer: BaseCheckpointer) -> None:
    """Their parent is an older version, and their node what the writer gave; packing changes neither."""
    thread = Thread(checkpointer)
    await thread.write()
    await thread.write()
    await thread.write(source="fork", node="7:a\nb", parent=1)
    await thread.write(source="rollback", node="", parent=0)
    await thread.write(source="node", node="3:c")
    expected = [(5, 4, "3:c"), (4, 0, ""), (3, 1, "7:a\nb"), (2, 1, "n"), (1, 0, "n")]
    for _ in range(2):
        entries = await checkpointer.history(thread.scope, thread.id)
        assert [(entry.seq, entry.parent, entry.node) for entry in entries] == expected
        await checkpointer.pack_idle(idle_for=timedelta(0))


@CASES.add
async def versions_that_are_not_there(checkpointer: BaseCheckpointer) -> None:
    """No version 0, none past the head, none of a missing thread."""
    thread = Thread(checkpointer)
    await raised(ThreadNotFoundError, checkpointer.load_at(thread.scope, thread.id, 1))
    await thread.write()
    for seq in (0, -1, 2, 10**6, 2**40):
        await raised(CheckpointNotFoundError, checkpointer.load_at(thread.scope, thread.id, seq))


@CASES.add
async def history_tells_who_wrote(checkpointer: BaseCheckpointer) -> None:
    """Entries hold what the writer gave, newest first, in pages."""
    thread = Thread(checkpointer)
    assert list(await checkpointer.history(thread.scope, thread.id)) == []
    ids = []
    for i, source in enumerate(("input", "node", "branch", "update", "fork")):
        write = write_after(
            await checkpointer.load(thread.scope, thread.id),
            source=source,
            node=f"n{i}",
            step=i,
            run_id=f"r{i}",
        )
        await thread.put(write)
        ids.append(write.checkpoint_id)
    entries = list(await checkpointer.history(thread.scope, thread.id))
    seen = [(e.seq, e.source, e.node, e.step, e.run_id) for e in reversed(entries)]
    assert seen == [
        (1, "input", "n0", 0, "r0"),
        (2, "node", "n1", 1, "r1"),
        (3, "branch", "n2", 2, "r2"),
        (4, "update", "n3", 3, "r3"),
        (5, "fork", "n4", 4, "r4"),
    ]
    assert [e.checkpoint_id for e in reversed(entries)] == ids
    assert all(e.created_at.tzinfo is not None for e in entries)
    page = await checkpointer.history(thread.scope, thread.id, before=4, limit=2)
    assert [e.seq for e in page] == [3, 2]
    assert [e.seq for e in await checkpointer.history(thread.scope, thread.id, limit=1)] == [5]
    assert list(await checkpointer.history(thread.scope, thread.id, before=1)) == []
