"""Processes of one service that tell their metrics to each other, so that whichever is asked tells all.

Each has a number and a socket in a folder that only their user can enter. A number is free again as soon as
its process is gone, however that ended: the system gives up its lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

FOLDER_VARIABLE: Final = "AGENTFLOW_METRICS_FOLDER"

_ANSWERS_WITHIN_S: Final = 2.0

Answer = Callable[[Mapping[str, Any]], Any]


class Processes:
    """This process among the others.

    Attributes:
        number: Of this one, the least that was free.
        silent: How often another one was there and did not answer.
    """

    def __init__(self, folder: str | None) -> None:
        """Take a number.

        Args:
            folder: That all of them are told; None when this one is alone.
        """
        self.number = 0
        self.silent = 0
        self._place: _Place | None = None
        self._server: asyncio.Server | None = None
        if folder is not None:
            self._place = _taken(Path(folder))
            self.number = self._place.number

    async def serve(self, answer: Answer) -> None:
        """Answer the others from now on, in this event loop.

        Args:
            answer: Of JSON to JSON; called in a thread.
        """
        if self._place is None:
            return

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                asked = json.loads(await reader.readline())
                writer.write(json.dumps(await asyncio.to_thread(answer, asked)).encode())
                await writer.drain()
            except (OSError, ValueError):
                return  # whoever asked is gone
            finally:
                writer.close()

        self._place.socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(talk, self._place.socket)

    async def ask(self, question: Mapping[str, Any]) -> list[Any]:
        """What the others answer, each within two seconds; whoever does not is left out."""
        if self._place is None:
            return []
        line = json.dumps(question).encode() + b"\n"
        answers = await asyncio.gather(*(self._asked(path, line) for path in self._place.others()))
        return [answer for answer in answers if answer is not None]

    async def aclose(self) -> None:
        """Answer no more, and give the number back."""
        if self._place is None:
            return
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._place.socket.unlink(missing_ok=True)
        os.close(self._place.lock)

    async def _asked(self, path: Path, line: bytes) -> Any:
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                return await _answer(path, line)
        except (ConnectionRefusedError, FileNotFoundError):
            return None  # it ended
        except (OSError, TimeoutError, ValueError):
            self.silent += 1
            return None


async def _answer(path: Path, line: bytes) -> Any:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(line)
        await writer.drain()
        return json.loads(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()


@dataclass(frozen=True, slots=True)
class _Place:
    """Of a process in the folder.

    Attributes:
        lock: Holds the number as long as it is open.
    """

    number: int
    socket: Path
    lock: int

    def others(self) -> list[Path]:
        """Sockets of the others, also of some that ended."""
        return sorted(path for path in self.socket.parent.glob("*.socket") if path != self.socket)


def _taken(folder: Path) -> _Place:
    """The one with the least number that is free."""
    for number in count():
        lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return _Place(number, folder / f"{number}.socket", lock)
    raise AssertionError("numbers do not end")
