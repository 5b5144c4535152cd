"""HTTP load from a process of its own: `python -m tests.benchmarks.http_load`, told what to do on stdin.

It reads no more of the protocol than these answers need: a client library would cost more than they do.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass

import uvloop


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
    """

    per_second: float
    p95_s: float


def run(load: Load) -> Taken:
    """Send it, in this process."""
    return uvloop.run(_run(load))


async def _run(load: Load) -> Taken:
    start = time.perf_counter()
    lanes = [_lane(load, number, start + load.seconds) for number in range(load.connections)]
    times = sorted(taken for lane in await asyncio.gather(*lanes) for taken in lane)
    return Taken(len(times) / (time.perf_counter() - start), times[int(0.95 * len(times))])


async def _lane(load: Load, lane: int, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
    times: list[float] = []
    number = 0
    head = f"{load.method} {load.path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {load.key}\r\n"
    while (start := time.perf_counter()) < until or not times:
        request = head.encode() + b"\r\n"
        if load.body is not None:
            body = load.body.replace("@", f"{start:.6f}-{lane}-{number}").encode()
            request = (
                f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        if answer[9:12] != b"200":
            raise RuntimeError(answer.decode())
        length = answer.lower().index(b"content-length:") + 15
        await reader.readexactly(int(answer[length : answer.index(b"\r", length)]))
        times.append(time.perf_counter() - start)
        number += 1
    writer.close()
    return times


def main() -> None:
    """Loads come as lines, and how they went goes back as lines."""
    for line in sys.stdin:
        print(json.dumps(asdict(run(Load(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
