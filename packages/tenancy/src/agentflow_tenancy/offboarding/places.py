"""What keeps something of a tenant beside the tables: each is purged, and looked into afterwards."""

from __future__ import annotations

import uuid
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentflow.errors import StoreUnavailableError
from agentflow_tenancy.offboarding.records import Subject


class Place(Protocol):
    """A place that is no table with the tenant's id."""

    @property
    def name(self) -> str:
        """For the receipt."""
        ...

    async def purge(self, subject: Subject) -> int:
        """Delete what is of a tenant, or of its user; how much that was. Done again it deletes nothing.

        Raises:
            StoreUnavailableError: The place does not answer; nothing may be said of it then.
        """
        ...

    async def count(self, subject: Subject) -> int:
        """How much is there; raises as `purge`."""
        ...


class Exporter(Protocol):
    """Keeps an archive of a tenant before anything of it goes."""

    async def __call__(self, subject: Subject, offboarding_id: uuid.UUID) -> bool:
        """Have one made; whether it is kept by now. Called again, with the same id, until it is.

        Raises:
            StorageError: It cannot be kept now.
        """
        ...


class RedisPlace:
    """A tenant's keys in a Redis: they begin with its id.

    No key names a user: when one is forgotten every cached state of the tenant goes.
    """

    def __init__(self, client: Redis, name: str) -> None:
        """Nothing is sent yet."""
        self._client = client
        self._name = name

    @property
    def name(self) -> str:
        """For the receipt."""
        return self._name

    async def purge(self, subject: Subject) -> int:
        """Delete the keys; cost: one pass over all keys of the server, a thousand at a time."""
        return await self._each(subject, delete=True)

    async def count(self, subject: Subject) -> int:
        """How many keys there are; none counts of a user, whose states others may have read anew since."""
        return 0 if subject.user_id is not None else await self._each(subject, delete=False)

    async def _each(self, subject: Subject, *, delete: bool) -> int:
        tag = f"af:{{{subject.tenant_id.hex}"
        pattern = f"{tag}*" if subject.user_id is None else f"{tag}:*:s:*"
        found = 0
        try:
            names: list[bytes] = []
            async for name in self._client.scan_iter(match=pattern, count=1000):
                names.append(name)
                if len(names) == 1000:
                    found += await self._taken(names, delete=delete)
                    names = []
            return found + await self._taken(names, delete=delete)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailableError(
                f"{self._name} does not answer ({type(error).__name__}): what it holds may not be gone."
            ) from error

    async def _taken(self, names: list[bytes], *, delete: bool) -> int:
        if names and delete:
            await self._client.unlink(*names)
        return len(names)
