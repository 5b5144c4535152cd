"""The chunks of a run, each once and in order, over as many connections as it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from agentflow.client.errors import ClientError, ConnectionFailedError, TimedOutError, UnreadableAnswerError
from agentflow.client.lines import events, lines
from agentflow.client.models import Chunk
from agentflow.client.operations.operation import Operation
from agentflow.client.retries import Retrying
from agentflow.client.target import segment

if TYPE_CHECKING:
    from agentflow.client.engine import Engine

_EVENTS: Final = "text/event-stream"
# Events say where a run ends, which the end of an answer does not. Lines are read where nothing else is
# spoken.
_ACCEPT: Final = {"accept": f"{_EVENTS}, application/x-ndjson;q=0.5"}
_UNDER_WAY: Final = ("pending", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChunks:
    """A run to begin, or to follow, and its chunks.

    Attributes:
        thread_id: Of the run, if it is known.
        run_id: Of a run that is there already.
        after: `seq` of the last chunk that is known; -1 when none is.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    timeout_s: float | None = None
    thread_id: str | None = None
    run_id: str | None = None
    after: int = -1

    async def items(self, engine: Engine) -> AsyncGenerator[Chunk]:
        """One by one, until the run is over.

        Raises:
            ConnectionFailedError: It broke and could not be made anew.
            ClientError: What beginning or rejoining the run was answered with.
        """
        reading = _Reading(self, Retrying(engine.retries))
        while not reading.over:
            async with aclosing(reading.chunks(engine)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if not reading.over:
                await engine.transport.pause(reading.wait_s)


class _Reading:
    """How far the reading of a run has come."""

    def __init__(self, run: RunChunks, retrying: Retrying) -> None:
        self.over = False
        self.wait_s = 0.0
        self._run = run
        self._retrying = retrying
        self._last = run.after
        self._run_id = run.run_id
        self._thread_id = run.thread_id

    async def chunks(self, engine: Engine) -> AsyncGenerator[Chunk]:
        """Those of one connection that were not there before; then it is over, or to be tried again."""
        async with engine.opened(self._request(engine.idle_s)) as response:
            self._note(response)
            try:
                async with aclosing(self._decoded(engine, response)) as found:
                    async for chunk in found:
                        if self._is_new(chunk):
                            yield chunk
                self.over = True
            except (ConnectionFailedError, TimedOutError) as error:
                self._broke(error)

    def _request(self, idle_s: float) -> Operation[Any]:
        """The run's beginning, or the rest of it once it has an id."""
        run = self._run
        if self._run_id is None or self._thread_id is None:
            return Operation(
                method=run.method,
                path=run.path,
                read=_unread,
                headers=_ACCEPT,
                body=run.body,
                idempotency_key=run.idempotency_key,
                timeout_s=run.timeout_s,
            )
        return Operation(
            method="GET",
            path=f"/v1/threads/{segment(self._thread_id)}/runs/{segment(self._run_id)}/stream",
            read=_unread,
            headers=_ACCEPT,
            query={"after": self._last if self._last >= 0 else None},
            timeout_s=idle_s,
            patient=True,
        )

    def _note(self, response: httpx.Response) -> None:
        self._run_id = response.headers.get("x-run-id") or self._run_id
        named = response.headers.get("x-thread-id")
        if named:
            # Header fields are bytes; this one is an id as UTF-8.
            self._thread_id = _field(response, b"x-thread-id") or named

    async def _decoded(self, engine: Engine, response: httpx.Response) -> AsyncGenerator[Chunk]:
        async with aclosing(lines(engine.pieces(response))) as found:
            if response.headers.get("content-type", "").startswith(_EVENTS):
                async for event in events(found):
                    if event.name == "end":
                        if _parsed(event.data).get("status") in _UNDER_WAY:
                            break
                        return
                    yield _chunk(event.data)
                raise ConnectionFailedError("The stream ended before the run did.")
            async for line in found:
                if line:
                    yield _chunk(line)

    def _is_new(self, chunk: Chunk) -> bool:
        self._thread_id = self._thread_id or chunk.thread_id
        if chunk.seq is None:
            return True
        if chunk.seq > self._last + 1:
            raise ConnectionFailedError(f"Chunk {self._last + 1} is missing before {chunk.seq}.")
        if chunk.seq <= self._last:
            return False
        self._last = chunk.seq
        self._retrying.succeeded()
        return True

    def _broke(self, error: ClientError) -> None:
        """Decide when to go on.

        Raises:
            ClientError: The one given, when there is no going on.
        """
        if self._run_id is None or self._thread_id is None:
            raise error
        if isinstance(error, TimedOutError):
            self.wait_s = 0.0  # a quiet run, or a dead connection: a new one tells
            return
        wait_s = self._retrying.wait_s(error)
        if wait_s is None:
            raise error
        self.wait_s = wait_s


def _chunk(text: bytes) -> Chunk:
    try:
        return Chunk.model_validate(_parsed(text))
    except ValueError as error:
        raise UnreadableAnswerError("A chunk of the stream is none that this client knows.") from error


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnreadableAnswerError("The stream holds something that is no JSON.") from error
    if not isinstance(found, dict):
        raise UnreadableAnswerError("The stream holds something that is no JSON object.")
    return found


def _field(response: httpx.Response, name: bytes) -> str | None:
    for found, value in response.headers.raw:
        if found.lower() == name:
            return value.decode(errors="replace")
    return None


def _unread(_data: Any) -> None:
    """An answer that is read piece by piece."""
