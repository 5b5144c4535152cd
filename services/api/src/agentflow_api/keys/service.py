"""What can be done with a tenant's keys, by its own administrators and by the operator."""

import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

from agentflow_api.http.problems import ConflictingError, NotThereError
from agentflow_api.keys.schemas import NewKey
from agentflow_api.keys.views import key_view
from agentflow_tenancy import (
    ALL_SCOPES,
    ForbiddenError,
    KeyInfo,
    KeyRepository,
    Limits,
    Principal,
)
from agentflow_tenancy.control_plane import Actor
from agentflow_tenancy.keys import made_api_key

_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Keyring:
    """One tenant's keys, for somebody who may manage them.

    Attributes:
        granted: Scopes that the one who manages has, and so may give.
        granted_limits: Limits of the key that manages: its keys get no more.
    """

    repository: KeyRepository
    pepper: bytes
    tenant_id: uuid.UUID
    actor: Actor
    granted: frozenset[str]
    granted_limits: Limits

    async def create(self, asked: NewKey, effect_id: uuid.UUID) -> dict[str, Any]:
        """A new key, shown this once; the same effect's again is the same one.

        Raises:
            ForbiddenError: It would have a scope that its maker lacks.
            InvalidLimitsError: A limit is none.
        """
        scopes = sorted(self.granted) if asked.scopes is None else asked.scopes
        for scope in scopes:
            if scope not in self.granted:
                raise ForbiddenError(f"This key lacks the scope {scope!r}, so it cannot give it.")
        key = made_api_key(self.pepper, effect_id)
        info = await self.repository.create(
            self.tenant_id,
            key,
            pepper=self.pepper,
            name=asked.name,
            scopes=scopes,
            expires_at=asked.expires_at,
            limits=self.granted_limits.at_most(Limits.parse(asked.limits or {})),
            actor=self.actor,
        )
        return {"api_key": key.text, "key": key_view(info)}

    def secret(self, effect_id: uuid.UUID) -> str:
        """The text of the key that an effect makes; nothing is read."""
        return made_api_key(self.pepper, effect_id).text

    async def page(self, after: str, limit: int) -> list[KeyInfo]:
        """Keys by id."""
        return await self.repository.list(self.tenant_id, after=after, limit=limit)

    async def get(self, key_id: str) -> dict[str, Any]:
        """One key.

        Raises:
            NotThereError: The tenant has no such key.
        """
        return key_view(await self._found(key_id))

    async def rotate(self, key_id: str, overlap_s: int, effect_id: uuid.UUID) -> dict[str, Any]:
        """A new key with the same rights, shown this once; the old one ends after the overlap. As `create`.

        Raises:
            NotThereError: The tenant has no such key.
            ForbiddenError: The key has a scope that the one who rotates it lacks.
            ConflictingError: It has ended, or was rotated already.
        """
        old = await self._found(key_id)
        if not self.granted.issuperset(old.scopes):
            raise ForbiddenError("This key lacks scopes of the key it would rotate.")
        key = made_api_key(self.pepper, effect_id)
        info = await self.repository.rotate(
            self.tenant_id, key_id, key, pepper=self.pepper, overlap_s=overlap_s, actor=self.actor
        )
        if info is None:
            raise ConflictingError("This key has ended or was rotated already; create a new one.")
        return {"api_key": key.text, "key": key_view(info), "replaced": key_view(await self._found(key_id))}

    async def revoke(self, key_id: str) -> dict[str, Any]:
        """End a key for good, on every replica within a second.

        Raises:
            NotThereError: The tenant has no such key.
        """
        await self._found(key_id)
        await self.repository.revoke(self.tenant_id, key_id, actor=self.actor)
        return key_view(await self._found(key_id))

    async def _found(self, key_id: str) -> KeyInfo:
        found = await self.repository.get(self.tenant_id, key_id) if _KEY_ID.fullmatch(key_id) else None
        if found is None:
            raise NotThereError("There is no such key.")
        return found


def keyring_of(repository: KeyRepository, pepper: bytes, principal: Principal, actor: Actor) -> Keyring:
    """A tenant's own keys, for one of its administrators."""
    granted = principal.scopes.intersection(ALL_SCOPES)
    return Keyring(repository, pepper, principal.tenant.tenant_id, actor, granted, principal.limits)


def keyring_for_operator(
    repository: KeyRepository, pepper: bytes, tenant_id: uuid.UUID, actor: Actor
) -> Keyring:
    """Any tenant's keys, for the operator."""
    return Keyring(repository, pepper, tenant_id, actor, frozenset(ALL_SCOPES), Limits())
