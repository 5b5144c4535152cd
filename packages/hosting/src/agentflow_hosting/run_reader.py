"""Reading a run along: what it said so far, then what it says, until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final, Protocol

from agentflow_hosting.run_feed import RunFeed, Topic
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import Chunk, RunRecord

_PAGE: Final = 200
# How long a reader of another process's run waits before it looks by itself.
_LOOK_FIRST_S: Final = 0.1
_LOOK_LATER_S: Final = 1.0
_LOOK_ALTHOUGH_TOLD_S: Final = 5.0


class ChunksGoneError(Exception):
    """What the run said is kept no more."""

    code = "RUN_CHUNKS_GONE"

    def __init__(self) -> None:
        super().__init__(
            "What this run said is kept no more, since it ended a while ago; its messages are in the thread."
        )


class ReaderGate(Protocol):
    """Says whether a reader may still read."""

    def on_shut(self, call: Callable[[], None] | None) -> None:
        """Have something called once it may not."""
        ...

    def check(self) -> None:
        """Raise when it may not."""
        ...


class _Open:
    """A gate that nobody shuts."""

    def on_shut(self, call: Callable[[], None] | None) -> None:
        """Never."""

    def check(self) -> None:
        """Go on."""


OPEN: Final[ReaderGate] = _Open()


class RunReader:
    """Follows runs, wherever they are carried out."""

    def __init__(self, repository: RunRepository, feed: RunFeed) -> None:
        """Nobody reads yet."""
        self._repository = repository
        self._feed = feed

    async def check_kept(self, run: RunRecord, after: int) -> None:
        """Insist that all of what a run said behind a chunk is there, before an answer is begun.

        Raises:
            ChunksGoneError: It is kept no more.

        One round trip for a run that is over, else none.
        """
        if run.is_over and run.chunks > after + 1:
            found = await self._repository.chunks(run.tenant_id, run.run_id, after=after, limit=1)
            if not found or found[0].seq != after + 1:
                raise ChunksGoneError

    async def follow(
        self,
        run: RunRecord,
        *,
        after: int = -1,
        gate: ReaderGate = OPEN,
        ping_every_s: float | None = None,
    ) -> AsyncGenerator[Chunk | None]:
        """Every chunk behind number `after`, once and in order, until the run is over.

        The reader sets the pace: whoever is slow is given what Postgres keeps.

        Args:
            run: Which.
            after: Number of the last chunk the reader has.
            gate: Shut once the reader may read no more.
            ping_every_s: Give None when nothing was said for so long.

        Raises:
            ChunksGoneError: Some of them are kept no more.
            StoreUnavailableError: Postgres does not answer.
            What `gate.check` raises.
        """
        seq, look_after_s, quiet_s = after, _LOOK_FIRST_S, 0.0
        with self._feed.reading(run.run_id) as topic:
            gate.on_shut(topic.wake)
            while True:
                news = topic.news()
                found = await self._behind(run, topic, seq)
                for chunk in found:
                    gate.check()
                    yield chunk
                    seq = chunk.seq
                if found:
                    look_after_s, quiet_s = _LOOK_FIRST_S, 0.0
                    continue
                if not topic.at_work and await self._is_over(run, seq):
                    return
                at_most = self._longest_wait(topic, look_after_s, ping_every_s, quiet_s)
                if not await _came(news, at_most):
                    quiet_s += at_most or 0.0
                    look_after_s = min(_LOOK_LATER_S, look_after_s * 2)
                gate.check()
                if ping_every_s is not None and quiet_s >= ping_every_s:
                    quiet_s = 0.0
                    yield None

    async def ended(self, run: RunRecord, *, gate: ReaderGate = OPEN) -> RunRecord | None:
        """The run once it is over; None when it was deleted meanwhile.

        Args:
            run: Which.
            gate: Shut once nobody may wait, or does, any longer.

        Raises:
            What `gate.check` raises.
        """
        look_after_s = _LOOK_FIRST_S
        with self._feed.reading(run.run_id) as topic:
            gate.on_shut(topic.wake)
            while True:
                gate.check()
                news = topic.news()
                if not topic.at_work:
                    now = await self._repository.get(run.tenant_id, run.run_id)
                    if now is None or now.is_over:
                        return now
                if not await _came(news, self._longest_wait(topic, look_after_s)):
                    look_after_s = min(_LOOK_LATER_S, look_after_s * 2)

    async def _behind(self, run: RunRecord, topic: Topic, seq: int) -> list[Chunk]:
        if topic.kept == seq + 1:  # there is nothing yet that Postgres could know
            return []
        found = topic.after(seq) or await self._repository.chunks(
            run.tenant_id, run.run_id, after=seq, limit=_PAGE
        )
        if found and found[0].seq != seq + 1:
            raise ChunksGoneError
        return found

    async def _is_over(self, run: RunRecord, seq: int) -> bool:
        now = await self._repository.get(run.tenant_id, run.run_id)
        if now is None:
            return True
        if not now.is_over:
            return False
        if now.chunks > seq + 1 and not await self._repository.chunks(
            run.tenant_id, run.run_id, after=seq, limit=1
        ):
            raise ChunksGoneError
        return now.chunks <= seq + 1

    def _longest_wait(
        self, topic: Topic, look_after_s: float, ping_every_s: float | None = None, quiet_s: float = 0.0
    ) -> float | None:
        """How long to wait for news before looking by oneself; None where news is sure to come."""
        until_ping = None if ping_every_s is None else max(0.01, ping_every_s - quiet_s)
        if topic.at_work:
            return until_ping
        look = _LOOK_ALTHOUGH_TOLD_S if self._feed.hears_others else look_after_s
        return look if until_ping is None else min(look, until_ping)


async def _came(news: asyncio.Event, within_s: float | None) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await news.wait()
    except TimeoutError:
        return False
    return True
