"""Looking for work until the process is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable


async def work_until(stop: asyncio.Event, work_once: Callable[[], Awaitable[bool]], *, poll_s: float) -> None:
    """Do one piece after the other; what is under way when it stops is cancelled, and left for somebody else.

    Args:
        stop: Set once to stop.
        work_once: Does a piece; False when there was none.
        poll_s: How long to wait before looking again then.
    """
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            working = asyncio.ensure_future(work_once())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
            elif not working.result():
                await asyncio.wait({stopping}, timeout=poll_s)
    finally:
        stopping.cancel()
