"""Group reads: questions about threads that wait at the same moment go in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from agentflow.storage.checkpointer.lanes import LANES, Lanes, tell
from agentflow.storage.checkpointer.thread_memory import ThreadKey
from agentflow.storage.checkpointer.types import Scope

# Fewer wait for the answer that is under way: each statement costs the process as much as a dozen questions
# in one do.
_CROWD: Final = 8

_Key = tuple[ThreadKey, str | None]
Question = tuple[Scope, str]


class _Asked[Answer]:
    """A question and all who asked it before it was sent."""

    __slots__ = ("question", "waiters")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.waiters: list[asyncio.Future[Answer | None]] = []


class GroupRead[Answer]:
    """The lanes and their queue, of one event loop.

    Who asks alone is answered at once. Who asks the same while a question waits shares its answer, so a
    stampede on one thread is two reads. Nobody joins a question that was sent already: an answer holds what
    was committed before it was asked for.
    """

    def __init__(
        self,
        send: Callable[[int, Sequence[Question]], Awaitable[Mapping[int, Answer]]],
        *,
        most: int,
    ) -> None:
        """Nothing is asked yet.

        Args:
            send: Answers questions about one placement: place in the list, from 0 -> answer; none for no
                thread.
            most: How many questions go in one statement.
        """
        self._send = send
        self._most = most
        self._waiting: dict[_Key, _Asked[Answer]] = {}
        self._lanes = Lanes(self._drain, lambda: bool(self._waiting))

    async def ask(self, key: ThreadKey, scope: Scope, thread_id: str) -> Answer | None:
        """The answer as it was at some time after this was called; None for no such thread in the scope.

        Raises:
            What `send` raises.
        """
        if self._lanes.free == LANES and not self._waiting:
            return await self._alone(scope, thread_id)
        asked = self._waiting.get((key, scope.principal))
        if asked is None:
            asked = self._waiting[key, scope.principal] = _Asked((scope, thread_id))
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        asked.waiters.append(answer)
        if self._lanes.free and (self._lanes.free == LANES or len(self._waiting) >= _CROWD):
            self._lanes.start()
        return await answer

    async def _alone(self, scope: Scope, thread_id: str) -> Answer | None:
        """Nobody else asks: without the price of a task."""
        self._lanes.take()
        try:
            return (await self._send(scope.placement, [(scope, thread_id)])).get(0)
        finally:
            self._lanes.give_back()

    async def _drain(self) -> None:
        while self._waiting:
            await self._ask(self._next_group())

    def _next_group(self) -> list[_Asked[Answer]]:
        """Questions about one placement: it is bound once, so that one leaf is visited."""
        placement = next(iter(self._waiting))[0][1]
        same = [key for key in self._waiting if key[0][1] == placement]
        return [self._waiting.pop(key) for key in same[: self._most]]

    async def _ask(self, group: Sequence[_Asked[Answer]]) -> None:
        try:
            questions = [asked.question for asked in group]
            found = await self._send(questions[0][0].placement, questions)
        except BaseException as error:  # it belongs to those who wait, else for ever
            tell((waiter for asked in group for waiter in asked.waiters), error)
            if not isinstance(error, Exception):
                raise
            return
        for i, asked in enumerate(group):
            tell(asked.waiters, found.get(i))
