"""Keeps what a run says, in order, before anybody reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from agentflow.core.graph import StreamChunk
from agentflow.errors import StoreUnavailableError
from agentflow_hosting.run_feed import RunFeed, Topic
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import CancelAction, Chunk, RunRecord
from agentflow_hosting.waiting_chunks import WaitingChunks
from agentflow_tenancy import Principal

# For so long a run goes on while Postgres takes nothing; then whoever holds it next says the rest.
_TRY_FOR_S: Final = 3.0
_TRY_AGAIN_S: Final = 0.25


class ChunkWriter:
    """The chunks of one attempt of a run: numbered on from what earlier attempts said.

    Those that come while others are being written go together in one statement, pieces of a message as one.

    Attributes:
        began: Whether the run's input is durable.
        lost: Why nothing can be kept any more.
    """

    def __init__(
        self,
        repository: RunRepository,
        run: RunRecord,
        principal: Principal,
        feed: RunFeed,
        topic: Topic,
        *,
        on_cancel: Callable[[CancelAction], None],
        on_lost: Callable[[], None],
    ) -> None:
        """Nothing is said yet.

        Args:
            repository: Where chunks are kept.
            run: As it was taken.
            principal: Who reads it.
            feed, topic: Who is told.
            on_cancel: Called when somebody asked for the run's end.
            on_lost: Called when the run is somebody else's now.
        """
        self._repository = repository
        self._run = run
        self._principal = principal
        self._feed = feed
        self._topic = topic
        self._on_cancel = on_cancel
        self._on_lost = on_lost
        self._kept = topic.kept = run.chunks
        self._waiting = WaitingChunks(principal, run.chunks)
        self._known: set[str] = set()
        self._writing: asyncio.Task[None] | None = None
        self.began = run.chunks > 0
        self.lost: Exception | None = None

    async def recall(self) -> None:
        """Learn which messages earlier attempts told, so that none is told twice. For a run taken over."""
        after = -1
        while after + 1 < self._run.chunks:
            page = await self._repository.chunks(self._run.tenant_id, self._run.run_id, after=after)
            if not page:
                return
            self._known.update(filter(None, (_message_id(chunk) for chunk in page)))
            after = page[-1].seq

    def put(self, chunk: StreamChunk) -> None:
        """Have a chunk kept. Returns at once."""
        message = chunk.message
        if message is not None and not message.delta and message.message_id in self._known:
            return
        self._waiting.put(chunk)
        self._begin()

    def put_error(self, reason: str, *, timestamp: float) -> None:
        """Have the run's failure kept, as its last word."""
        thread_id = self._principal.public_id(self._run.thread_id)
        body = {
            "event": "error",
            "message": None,
            "state": None,
            "data": {"reason": reason},
            "thread_id": thread_id,
            "run_id": str(self._run.run_id),
            "metadata": {"thread_id": thread_id},
            "timestamp": timestamp,
        }
        self._waiting.put_text(json.dumps(body, ensure_ascii=False, separators=(",", ":")))
        self._begin()

    async def flush(self) -> None:
        """Wait until everything is kept.

        Raises:
            RunLostError, StoreUnavailableError: It cannot be any more.
            What Postgres refused a chunk with.
        """
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self.lost is not None:
            raise self.lost

    async def abandon(self) -> None:
        """Keep no more; the statement under way is done whole or not at all."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    def _begin(self) -> None:
        if self._writing is None or self._writing.done():
            # The first word goes at once: until a node waits for something nobody else has a turn.
            loop = asyncio.get_running_loop()
            self._writing = asyncio.Task(self._write(), loop=loop, eager_start=not self._kept)

    async def _write(self) -> None:
        while self._waiting and self.lost is None:
            bodies = self._waiting.take()
            try:
                cancel = await self._keep(bodies)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the run, which waits for it
                self.lost = error
                self._on_lost()
                return
            self._topic.say([Chunk(self._kept + place, body) for place, body in enumerate(bodies)])
            self._kept += len(bodies)
            self._feed.tell_others(self._run.run_id)
            if cancel is not None:
                self._on_cancel(cancel)

    async def _keep(self, bodies: list[str]) -> CancelAction | None:
        give_up_at = asyncio.get_running_loop().time() + _TRY_FOR_S
        while True:
            try:
                return await self._repository.add_chunks(self._run, self._kept, bodies)
            except StoreUnavailableError:
                if asyncio.get_running_loop().time() > give_up_at:
                    raise
                await asyncio.sleep(_TRY_AGAIN_S)


def _message_id(chunk: Chunk) -> str | None:
    """Of the whole message that a chunk tells; None when it tells something else."""
    data: dict[str, Any] = json.loads(chunk.body)
    message = data["message"]
    return None if message is None or message["delta"] else str(message["message_id"])
