"""What the cases are made of."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.delta import Fields, diff
from agentflow.storage.checkpointer.types import (
    PLAIN_TEXT,
    CheckpointWrite,
    Committed,
    Scope,
    Snapshot,
    StoredMessage,
)

_numbers: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Case:
    """One promise of the contract.

    Attributes:
        name: Unique.
        expected: What must hold, in a sentence.
    """

    name: str
    expected: str
    run: Callable[[BaseCheckpointer], Coroutine[Any, Any, None]]


class Cases(list[Case]):
    """Collects the cases of a module."""

    def add(
        self, check: Callable[[BaseCheckpointer], Coroutine[Any, Any, None]]
    ) -> Callable[[BaseCheckpointer], Coroutine[Any, Any, None]]:
        """Decorator: the function's name and docstring become the case's."""
        self.append(Case(check.__name__, (check.__doc__ or "").strip(), check))
        return check


def new_scope() -> Scope:
    """A tenant nobody else has."""
    return Scope(tenant_id=uuid.uuid4())


def message(pos: int, content: str = "hello", *, role: str = "user", **other: Any) -> StoredMessage:
    """A message at a position."""
    values = {"content_kind": PLAIN_TEXT, "extra": None, "sent_at": None, **other}
    message_id = values.pop("message_id", f"m-{next(_numbers)}")
    return StoredMessage(pos=pos, message_id=message_id, role=role, content=content, **values)


def write_after(
    before: Snapshot | None,
    fields: Fields | None = None,
    *,
    added: Sequence[StoredMessage] = (),
    removed: Sequence[int] = (),
    **other: Any,
) -> CheckpointWrite:
    """The write that turns a thread's fields into `fields` (None: unchanged), and its context too."""
    old = before.fields if before is not None else {}
    new = old if fields is None else fields
    defaults = {"source": "node", "node": "n", "step": 1, "run_id": "r"}
    return CheckpointWrite(
        expected_head=before.head if before is not None else 0,
        thread_no=before.thread_no if before is not None else None,
        patch=diff(old, new),
        fields=new,
        added=added,
        removed=removed,
        **{**defaults, **other},
    )


class Thread:
    """A thread that a case writes to, each time through a session of its own."""

    def __init__(
        self, checkpointer: BaseCheckpointer, scope: Scope | None = None, thread_id: str = "t"
    ) -> None:
        """Nothing is written yet."""
        self.checkpointer = checkpointer
        self.scope = scope or new_scope()
        self.id = thread_id

    async def write(
        self,
        fields: Fields | None = None,
        *,
        added: Sequence[StoredMessage] = (),
        removed: Sequence[int] = (),
        **other: Any,
    ) -> Committed:
        """Append a checkpoint to what is stored now."""
        async with self.checkpointer.session(self.scope, self.id) as session:
            before = await session.reload()
            return await session.append(write_after(before, fields, added=added, removed=removed, **other))

    async def put(self, write: CheckpointWrite) -> Committed:
        """Append a checkpoint as it is, whatever is stored."""
        async with self.checkpointer.session(self.scope, self.id) as session:
            return await session.append(write)

    async def load(self) -> Snapshot:
        """The thread, which must be there."""
        snapshot = await self.checkpointer.load(self.scope, self.id)
        assert snapshot is not None, f"thread {self.id!r} is gone"  # noqa: S101 - what a suite is made of
        return snapshot


async def raised[E: BaseException](kind: type[E], work: Awaitable[object]) -> E:
    """The error of `kind` that the work must end with."""
    try:
        await work
    except kind as error:
        return error
    raise AssertionError(f"nothing was raised instead of {kind.__name__}")


def contents(snapshot: Snapshot) -> list[str]:
    """The texts of a context."""
    return [row.content for row in snapshot.messages]
