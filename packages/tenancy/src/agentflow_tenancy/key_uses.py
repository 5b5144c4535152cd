"""When keys were used last: noted together, now and then, and never while a request waits."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from agentflow.errors import StorageError
from agentflow_tenancy.key_repository import KeyRepository

logger = logging.getLogger("agentflow.tenancy")

_MOST: Final = 10_000


class KeyUses:
    """The keys that this process saw, of one event loop. A key is written at most once a minute."""

    def __init__(
        self,
        keys: KeyRepository,
        *,
        every_s: float = 60.0,
        after_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is noted yet.

        Args:
            keys: Where to write.
            every_s: How long a key that was written is not written again.
            after_s: How long uses collect before they are written.
            clock: Seconds, never going back.
        """
        self._keys = keys
        self._every_s = every_s
        self._after_s = after_s
        self._clock = clock
        self._written: OrderedDict[str, float] = OrderedDict()
        self._waiting: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, key_id: str) -> None:
        """A key was used just now. Costs a look into a dict."""
        written = self._written.get(key_id)
        if written is not None and self._clock() < written + self._every_s:
            return
        self._written[key_id] = self._clock()
        self._written.move_to_end(key_id)
        if len(self._written) > _MOST:
            self._written.popitem(last=False)
        self._waiting.add(key_id)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._after_s, self._start)

    async def aclose(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._start()
        await asyncio.gather(*self._writing)

    def _start(self) -> None:
        self._timer = None
        key_ids, self._waiting = sorted(self._waiting), set()
        task = asyncio.get_running_loop().create_task(self._write(key_ids))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key_ids: list[str]) -> None:
        try:
            await self._keys.used(key_ids)
        except StorageError as error:
            # The next use of each is a minute away: a lost one is no loss.
            logger.warning("The last use of %d keys was not noted: %s", len(key_ids), error)
