"""The frames of one socket, each answered in turn by a task that lives only while there is one to answer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import WebSocket

from agentflow_api.http.gatekeeper import Gate

# A client that sends on while its run is at work is held back behind so many frames.
_MOST_FRAMES: Final = 16

type Frame = str | bytes


class Conversation:
    """Reads an open socket until its client goes away, or is let in no more.

    Most sockets are idle: while nothing is said there is no task and no queue, only who reads.
    """

    __slots__ = ("_answer", "_answering", "_failure", "_frames", "_gate", "_reader", "_room", "_socket")

    def __init__(
        self, socket: WebSocket[Any, Any, Any], gate: Gate, answer: Callable[[Frame], Awaitable[None]]
    ) -> None:
        """Nothing was said yet.

        Args:
            socket: Accepted.
            gate: Shut once its client is let in no more.
            answer: Answers a frame. What it raises ends the conversation.
        """
        self._socket = socket
        self._gate = gate
        self._answer = answer
        self._reader: asyncio.Task[Any] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._frames: deque[Frame] | None = None
        self._room: asyncio.Event | None = None
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Return once the client has gone.

        Whoever went away, or is let in no more, is not spoken to any longer; its run goes on.

        Raises:
            What `gate.check` and the answering raise.
        """
        self._reader = asyncio.current_task()
        self._gate.on_shut(self._stop)
        try:
            await self._read()
        except asyncio.CancelledError:
            is_ours = self._failure is not None or self._gate.shut_by is not None
            if self._reader is None or not is_ours or self._reader.uncancel() > 0:
                raise
        finally:
            self._gate.on_shut(None)
            self._reader = None
            if self._answering is not None:
                self._answering.cancel()
                await asyncio.gather(self._answering, return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        self._gate.check()

    async def _read(self) -> None:
        self._gate.check()
        while True:
            event: dict[str, Any] = dict(await self._socket.receive())
            if event["type"] == "websocket.disconnect":
                return
            text: str | None = event.get("text")
            await self._hear(event.get("bytes") or b"" if text is None else text)

    async def _hear(self, frame: Frame) -> None:
        if self._frames is None or self._answering is None or self._answering.done():
            self._frames = deque([frame])
            self._answering = asyncio.create_task(self._answer_all(self._frames))
            self._answering.add_done_callback(self._answered)
            return
        self._frames.append(frame)
        while len(self._frames) >= _MOST_FRAMES and not self._answering.done():
            self._room = asyncio.Event()
            await self._room.wait()

    async def _answer_all(self, frames: deque[Frame]) -> None:
        while frames:
            frame = frames.popleft()
            self._has_room()
            self._gate.check()
            await self._answer(frame)

    def _answered(self, task: asyncio.Task[None]) -> None:
        if task is self._answering:
            self._answering = self._frames = None
        self._has_room()
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self._stop()

    def _has_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
