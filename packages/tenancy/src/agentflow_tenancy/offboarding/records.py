"""Offboardings as records: asked for, taken, held, ended."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import RowMapping

from agentflow_tenancy.control_plane import as_json

type State = Literal[
    "suspended", "exporting", "grace", "purging", "verifying", "purged", "cancelled", "measuring", "measured"
]
type Step = Literal["fence", "leaves", "threads", "tables", "elsewhere", "end"]
type Kind = Literal["tenant", "user"]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data it is about: a tenant's, or those of one of its users.

    Attributes:
        slug: The tenant's.
        user_id: The one user; None for all of the tenant.
        until: What a user has made since then is not meant: they came back. None: all is.
    """

    tenant_id: uuid.UUID
    slug: str
    user_id: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Offboarding:
    """A tenant that leaves, or a user who is forgotten, as it stands.

    Attributes:
        slug: None once it is over, as is `user_id`: what is kept are digests.
        step: Where purging goes on.
        state_before: The tenant's, which it has again when this is cancelled.
        placements: Where it had threads.
        counts: Rows that were deleted, by table; of a dry run those that would be.
        fenced_at: From then on nobody worked for it any more.
        holder: Who works on it.
    """

    offboarding_id: uuid.UUID
    tenant_id: uuid.UUID
    kind: Kind
    slug: str | None
    slug_digest: bytes
    user_id: str | None
    user_digest: bytes | None
    state: State
    step: Step
    state_before: str | None
    placements: tuple[int, ...]
    with_export: bool
    grace_s: int
    grace_until: datetime | None
    threads_total: int | None
    threads_purged: int
    counts: dict[str, int]
    attempts: int
    error: str | None
    requested_by: str
    created_at: datetime
    fenced_at: datetime | None
    finished_at: datetime | None
    holder: uuid.UUID | None

    @property
    def subject(self) -> Subject:
        """Whose data it is about, while it is under way."""
        return Subject(self.tenant_id, self.slug or "", self.user_id)


def slug_digest(tenant_id: uuid.UUID, slug: str) -> bytes:
    """What is kept of a slug: who knows both can check it, nobody can read it."""
    return hashlib.sha256(tenant_id.bytes + b"slug:" + slug.encode()).digest()


def user_digest(tenant_id: uuid.UUID, user_id: str) -> bytes:
    """What is kept of a user's id; see `slug_digest`."""
    return hashlib.sha256(tenant_id.bytes + b"user:" + user_id.encode()).digest()


def offboarding_of(row: RowMapping) -> Offboarding:
    """A row as a record."""
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Offboarding)}
    for name in ("offboarding_id", "tenant_id", "holder"):
        values[name] = None if values[name] is None else uuid.UUID(bytes=values[name].bytes)
    values["placements"] = tuple(values["placements"])
    values["counts"] = dict(as_json(values["counts"]))
    return Offboarding(**values)


def maybe_offboarding(row: RowMapping | None) -> Offboarding | None:
    """The same, where there may be none."""
    return None if row is None else offboarding_of(row)
