"""From a presented key to the principal it stands for."""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable

from agentflow.errors import StorageError
from agentflow_tenancy.errors import CredentialError, TenantSuspendedError
from agentflow_tenancy.keys import parse_api_key
from agentflow_tenancy.repository import TenantRepository
from agentflow_tenancy.tenants import KeyRecord, Principal

_UNKNOWN = "This API key is not valid."


class Authenticator:
    """Checks keys, remembering good ones for less than a second: so long may a revoked one live on.

    Nothing but the key decides the tenant. Refused keys are not remembered, and all are refused alike. A key
    in steady use is looked up again before it would be forgotten, so that no request waits for that. While
    Postgres is away nobody is let in for longer than what is remembered.
    """

    def __init__(
        self,
        repository: TenantRepository,
        pepper: bytes,
        *,
        remember_s: float = 0.8,
        most_remembered: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is remembered yet."""
        self._repository = repository
        self._pepper = pepper
        self._remember_s = remember_s
        self._most = most_remembered
        self._clock = clock
        # Key id -> when it was asked for, and what was found.
        self._good: OrderedDict[str, tuple[float, KeyRecord]] = OrderedDict()
        self._looking: dict[str, asyncio.Task[KeyRecord | None]] = {}

    async def authenticate(self, presented: str) -> Principal:
        """The principal of a key.

        Raises:
            CredentialError: Malformed, unknown, revoked or expired.
            TenantSuspendedError: The key is good, its tenant is suspended.
            StoreUnavailableError: Postgres does not answer.

        No round trip while remembered, one otherwise, shared; none for a mistyped key.
        """
        key = parse_api_key(presented)
        record = await self._record(key.key_id)
        if record is None or not hmac.compare_digest(record.digest, key.digest(self._pepper)):
            raise CredentialError(_UNKNOWN)
        return _active(record)

    async def principal_of(self, key_id: str) -> Principal:
        """The principal of a key by its id alone, for who has proved by other means that it may use it.

        Raises:
            CredentialError, TenantSuspendedError, StoreUnavailableError: See `authenticate`.
        """
        record = await self._record(key_id)
        if record is None:
            raise CredentialError(_UNKNOWN)
        return _active(record)

    async def _record(self, key_id: str) -> KeyRecord | None:
        remembered = self._good.get(key_id)
        if remembered is not None:
            age_s = self._clock() - remembered[0]
            if age_s < self._remember_s:
                if age_s > self._remember_s / 2:
                    self._look(key_id)
                return remembered[1]
        return await asyncio.shield(self._look(key_id))

    def _look(self, key_id: str) -> "asyncio.Task[KeyRecord | None]":
        """Look a key up, or join who does."""
        task = self._looking.get(key_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find(key_id))
            self._looking[key_id] = task
            task.add_done_callback(lambda done: self._done(key_id, done))
        return task

    def _done(self, key_id: str, task: "asyncio.Task[KeyRecord | None]") -> None:
        self._looking.pop(key_id, None)
        if not task.cancelled() and isinstance(task.exception(), StorageError):
            return  # whoever waits is told; what is remembered ends by itself

    async def _find(self, key_id: str) -> KeyRecord | None:
        # From when it was asked, not answered: a slow answer must not stretch a revoked key's life.
        asked_at = self._clock()
        record = await self._repository.find_key(key_id)
        if record is None or record.revoked or record.expired:
            self._good.pop(key_id, None)
            return None
        self._good[key_id] = (asked_at, record)
        if len(self._good) > self._most:
            self._good.popitem(last=False)
        return record


def _active(record: KeyRecord) -> Principal:
    if record.principal.tenant.state != "active":
        raise TenantSuspendedError("This tenant is suspended.")
    return record.principal
