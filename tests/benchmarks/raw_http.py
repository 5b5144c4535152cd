"""HTTP at next to no cost for who asks: `python -m tests.benchmarks.raw_http PORT KEY PER_SECOND` floods."""

import asyncio
import json
import sys
from typing import Final, Self

from tests.support.api import say

_LANES: Final = 16
_TOO_MANY: Final = 429


class RawHttp:
    """One connection that sends the same request again and again."""

    def __init__(self, port: int, key: str, thread_id: str) -> None:
        """Nothing is opened yet."""
        self._port = port
        body = json.dumps(say("hello", thread_id)).encode()
        head = (
            "POST /a/echo/v1/graph/invoke HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body

    async def __aenter__(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        self._writer.close()

    async def ask(self) -> int:
        """Send it; the status of the answer."""
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        await self._reader.readexactly(length)
        return int(head[9:12])


async def flood(port: int, key: str, per_second: float) -> None:
    """Ask so often, until killed; a lane whose answer is late sends its next one at once.

    Says "refused" once it was: what starts it waits for that, so as not to measure how Python starts.
    """
    refused = False

    async def lane(number: int) -> None:
        nonlocal refused
        loop = asyncio.get_running_loop()
        due = loop.time() + number / per_second
        async with RawHttp(port, key, f"flood-{number}") as http:
            while True:
                await asyncio.sleep(due - loop.time())
                if await http.ask() == _TOO_MANY and not refused:
                    refused = True
                    print("refused", flush=True)
                due += _LANES / per_second

    await asyncio.gather(*(lane(number) for number in range(_LANES)))


if __name__ == "__main__":
    asyncio.run(flood(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
