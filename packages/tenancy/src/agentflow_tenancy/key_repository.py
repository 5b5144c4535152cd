"""API keys in the database."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.control_plane import SYSTEM, Actor, ControlPlane, Transaction, as_json
from agentflow_tenancy.keys import ApiKey
from agentflow_tenancy.plans import NO_LIMITS, Limits
from agentflow_tenancy.tenants import ALL_SCOPES


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key without its secret.

    Attributes:
        expires_at: When it ends by itself; after a rotation the end of the overlap.
        last_used_at: To about a minute.
        replaced_by: Id of the key that it was rotated to.
    """

    key_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    limits: Limits
    created_by: str
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key to store: a digest and what it may do."""

    key_id: str
    digest: bytes = field(repr=False)
    name: str
    scopes: Sequence[str] = ALL_SCOPES
    expires_at: datetime | None = None
    limits: Limits = NO_LIMITS


async def store_key(
    transaction: Transaction, tenant_id: uuid.UUID, new: NewApiKey, *, actor: Actor
) -> KeyInfo:
    """Store a key in a transaction, with its line of the audit log; a second try finds the first one's."""
    made = await _insert(transaction, tenant_id, new, actor)
    if made is None:
        return await _found(transaction, tenant_id, new.key_id)
    details = {"name": new.name, "scopes": list(new.scopes), "expires_at": new.expires_at}
    await transaction.note(actor, "key.create", new.key_id, tenant_id, details)
    return made


class KeyRepository:
    """Reads and writes keys. Each method is one transaction, with its line of the audit log.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._plane = ControlPlane(engine)

    async def create(
        self,
        tenant_id: uuid.UUID,
        key: ApiKey,
        *,
        pepper: bytes,
        name: str,
        scopes: Sequence[str] = ALL_SCOPES,
        expires_at: datetime | None = None,
        limits: Limits = NO_LIMITS,
        actor: Actor = SYSTEM,
    ) -> KeyInfo:
        """Store a key's digest."""
        new = NewApiKey(key.key_id, key.digest(pepper), name, scopes, expires_at, limits)
        return await self._plane.run(lambda transaction: store_key(transaction, tenant_id, new, actor=actor))

    async def list(self, tenant_id: uuid.UUID, *, after: str = "", limit: int = 100) -> list[KeyInfo]:
        """A tenant's keys by id, those behind `after`; ended ones too."""
        rows = await self._plane.run(
            lambda transaction: transaction.all("list_keys", tenant_id=tenant_id, after=after, most=limit)
        )
        return [_info(row) for row in rows]

    async def get(self, tenant_id: uuid.UUID, key_id: str) -> KeyInfo | None:
        """One key, or None."""
        row = await self._plane.run(
            lambda transaction: transaction.one("get_key", tenant_id=tenant_id, key_id=key_id)
        )
        return None if row is None else _info(row)

    async def rotate(
        self,
        tenant_id: uuid.UUID,
        key_id: str,
        new: ApiKey,
        *,
        pepper: bytes,
        overlap_s: int,
        actor: Actor = SYSTEM,
    ) -> KeyInfo | None:
        """Make a key with the same rights; the old one ends after the overlap.

        Returns:
            The new one; None when there is no such key, or it has ended or been rotated already.

        Locks the old key until commit, so that two rotations at once make one new key.
        """

        async def work(transaction: Transaction) -> KeyInfo | None:
            held = await transaction.one("hold_key", tenant_id=tenant_id, key_id=key_id, new=new.key_id)
            if held is None:
                return None
            old = _info(held)
            if old.replaced_by is not None:
                return await _found(transaction, tenant_id, new.key_id)
            digest = new.digest(pepper)
            same = NewApiKey(new.key_id, digest, old.name, old.scopes, old.expires_at, old.limits)
            await _insert(transaction, tenant_id, same, actor)
            await transaction.execute(
                "replace_key", tenant_id=tenant_id, key_id=key_id, replaced_by=new.key_id, overlap_s=overlap_s
            )
            details = {"replaced_by": new.key_id, "overlap_s": overlap_s}
            await transaction.note(actor, "key.rotate", key_id, tenant_id, details)
            return await _found(transaction, tenant_id, new.key_id)

        return await self._plane.run(work)

    async def revoke(self, tenant_id: uuid.UUID, key_id: str, *, actor: Actor = SYSTEM) -> bool:
        """End a key; False if the tenant has no such key. Effective everywhere within a second."""

        async def work(transaction: Transaction) -> bool:
            found = await transaction.one("revoke_key", tenant_id=tenant_id, key_id=key_id)
            if found is not None:
                await transaction.note(actor, "key.revoke", key_id, tenant_id)
            return found is not None

        return await self._plane.run(work)

    async def used(self, key_ids: Sequence[str]) -> None:
        """Note that keys were used just now."""
        await self._plane.run(lambda transaction: transaction.execute("keys_used", key_ids=list(key_ids)))


async def _insert(
    transaction: Transaction, tenant_id: uuid.UUID, new: NewApiKey, actor: Actor
) -> KeyInfo | None:
    row = await transaction.one(
        "create_key",
        key_id=new.key_id,
        tenant_id=tenant_id,
        digest=new.digest,
        name=new.name,
        scopes=list(new.scopes),
        expires_at=new.expires_at,
        limits=json.dumps(new.limits.as_json()),
        created_by=actor.name,
    )
    return None if row is None else _info(row)


async def _found(transaction: Transaction, tenant_id: uuid.UUID, key_id: str) -> KeyInfo:
    row = await transaction.one("get_key", tenant_id=tenant_id, key_id=key_id)
    assert row is not None, "an id of 70 random bits was taken"  # noqa: S101 - for the type checker
    return _info(row)


def _info(row: RowMapping) -> KeyInfo:
    values = {**row, "scopes": tuple(row["scopes"]), "limits": Limits.parse(as_json(row["limits"]))}
    return KeyInfo(**values)
