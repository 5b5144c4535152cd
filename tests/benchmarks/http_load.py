"""HTTP load from a process of its own: `python -m tests.benchmarks.http_load`, told what to do on stdin.

It reads no more of the protocol than these answers need, from the loop's own callbacks: a client library, or
streams, would cost more than what is measured.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

import uvloop

_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Load:
    """What to send, on so many connections at once, each waiting for its answers.

    Attributes:
        body: Sent with it; each `@` is replaced by a number of its own.
    """

    port: int
    method: str
    path: str
    key: str
    body: str | None
    connections: int
    seconds: float


@dataclass(frozen=True)
class Taken:
    """How it went.

    Attributes:
        p95_s: Seconds that 95 of 100 answers took at most.
        busy: The share of one CPU that this process took: near 1 it, and not the server, was measured.
    """

    per_second: float
    p95_s: float
    busy: float


class _Lane(asyncio.Protocol):
    """One connection: the next request goes out when the last one's answer is whole."""

    def __init__(self, load: Load, number: int, until: float) -> None:
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._number = number
        self._until = until
        head = f"{load.method} {load.path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {load.key}\r\n"
        self._head = head if load.body is None else f"{head}Content-Type: application/json\r\n"
        self._request = f"{self._head}\r\n".encode()
        self._came = bytearray()
        self._whole = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first one."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self._send()

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or all of it."""
        self._came += data
        if not self._whole:
            head = self._came.find(b"\r\n\r\n")
            if head < 0:
                return
            if self._came[9:12] != b"200":
                self._end(RuntimeError(self._came.decode()))
                return
            at = self._came.lower().index(_LENGTH, 0, head) + len(_LENGTH)
            self._whole = head + 4 + int(self._came[at : self._came.index(b"\r", at)])
        if len(self._came) < self._whole:
            return
        now = time.perf_counter()
        self.times.append(now - self._sent_at)
        self._came.clear()
        self._whole = 0
        if now < self._until:
            self._send()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up, or we did."""
        self._end(exc or ConnectionError("the server hung up"))

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        if self._load.body is not None:
            own = f"{self._sent_at:.6f}-{self._number}-{len(self.times)}"
            body = self._load.body.replace("@", own).encode()
            self._request = f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._transport.write(self._request)

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
        self._transport.close()


def run(load: Load) -> Taken:
    """Send it, in this process."""
    return uvloop.run(_run(load))


async def _run(load: Load) -> Taken:
    loop = asyncio.get_running_loop()
    start, cpu = time.perf_counter(), time.process_time()
    lanes = [_Lane(load, number, start + load.seconds) for number in range(load.connections)]
    for lane in lanes:
        await loop.create_connection(partial(_itself, lane), "127.0.0.1", load.port)
    await asyncio.gather(*(lane.done for lane in lanes))
    took = time.perf_counter() - start
    times = sorted(taken for lane in lanes for taken in lane.times)
    return Taken(len(times) / took, times[int(0.95 * len(times))], (time.process_time() - cpu) / took)


def _itself(lane: _Lane) -> _Lane:
    return lane


def main() -> None:
    """Loads come as lines, and how they went goes back as lines."""
    for line in sys.stdin:
        print(json.dumps(asdict(run(Load(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
