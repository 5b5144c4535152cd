"""Carrying out records that a worker holds: taken, held on to while it works, left to whoever comes next."""

import asyncio
import logging
import uuid
from abc import ABC, abstractmethod
from typing import ClassVar, Final, Protocol

from agentflow.errors import StorageError
from agentflow_worker.looking import work_until

logger = logging.getLogger("agentflow.worker")

_PUT_OFF_S: Final = 3.0


class LostError(Exception):
    """Somebody else works on it now, or it was ended."""


class Claims[T](Protocol):
    """Records that one worker at a time works on."""

    async def take(self, holder: uuid.UUID, lease_s: float) -> T | None:
        """The next one that nobody works on; None when there is none."""
        ...

    async def hold(self, record: T, lease_s: float, /) -> bool | None:
        """Go on holding one; None when somebody else holds it now, or it was ended."""
        ...

    async def put_off(self, record: T, error: str | None, after_s: float, /) -> None:
        """Leave it for whoever looks after so long."""
        ...


class LeasedRunner[T](ABC):
    """One record at a time, until told to stop. Any number of processes may do so at once.

    What was done is noted as it is done, so that whoever comes after a crash goes on from there; what was
    not noted is done once more, which changes nothing.

    Attributes:
        noun: What a record is, for the log.
        losses: What says that somebody else has it now.
    """

    noun: ClassVar[str]
    losses: ClassVar[tuple[type[Exception], ...]] = (LostError,)

    def __init__(self, claims: Claims[T], *, lease_s: float, poll_s: float) -> None:
        """Nothing runs yet.

        Args:
            claims: Where the records are.
            lease_s: A record is free again so long after its holder was last heard of.
            poll_s: How long to wait before looking for more.
        """
        self._claims = claims
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._holder = uuid.uuid4()

    async def run(self, stop: asyncio.Event) -> None:
        """Look for records until `stop` is set; the one under way is left for somebody else."""
        await work_until(stop, self.work_once, poll_s=self._poll_s)

    async def work_once(self) -> bool:
        """Take a record and carry it out as far as it goes; False when there was none."""
        try:
            await self._prepare()
            record = await self._claims.take(self._holder, self._lease_s)
            if record is None:
                return False
            await self._carry_out(record)
        except (StorageError, OSError) as error:
            logger.warning("No %s this time: %s", self.noun, error)
            return False
        return True

    @abstractmethod
    async def _go_on(self, record: T) -> None:
        """Do what is still to be done, and note it."""

    async def _prepare(self) -> None:  # noqa: B027 - nothing, if nothing is said
        """Before each look."""

    async def _lost(self, record: T) -> None:  # noqa: B027 - likewise
        """Somebody else has it, or it was ended: tidy up."""

    async def _carry_out(self, record: T) -> None:
        held = asyncio.ensure_future(self._go_on(record))
        beating = asyncio.ensure_future(self._beat(record, held))
        try:
            await held
        except asyncio.CancelledError:
            if beating.done() and not beating.cancelled():
                await self._lost(record)
                return
            # Told to stop: whoever looks next goes on.
            await asyncio.shield(self._claims.put_off(record, None, 0.0))
            raise
        except self.losses:
            logger.warning("A worker has lost this %s: it is somebody else's now, or was ended.", self.noun)
            await self._lost(record)
        except Exception as error:  # an edge: whatever one record provokes, others go on
            logger.warning("This %s is put off: %s", self.noun, error, exc_info=_unforeseen(error))
            await self._claims.put_off(record, str(error) or type(error).__name__, _PUT_OFF_S)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, record: T, held: "asyncio.Future[None]") -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                if await self._claims.hold(record, self._lease_s) is None:
                    held.cancel()
                    return
            except StorageError:
                continue  # the lease may last until the database is back


def _unforeseen(error: Exception) -> Exception | None:
    return None if isinstance(error, (StorageError, OSError)) else error
