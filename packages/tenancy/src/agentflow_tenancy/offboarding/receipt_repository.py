"""Receipts in the database: issued once each, read for ever."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.control_plane import Actor, ControlPlane, Transaction, as_json
from agentflow_tenancy.offboarding.receipts import FORMAT, VERSION, as_file, canonical, digest_of, signed
from agentflow_tenancy.offboarding.records import Offboarding
from agentflow_tenancy.offboarding.verifier import Look, is_leaf, parent_of
from agentflow_tenancy.signing_keys import SigningKey

_WORKER = Actor("worker")


@dataclass(frozen=True, slots=True)
class Receipt:
    """One, as it was issued.

    Attributes:
        sequence: From 1 on, without a gap.
        body: The canonical text that `jws` signs.
    """

    receipt_id: uuid.UUID
    sequence: int
    tenant_id: uuid.UUID
    body: str
    jws: str
    key_id: str

    def as_file(self) -> dict[str, Any]:
        """As it is handed out."""
        return as_file(self.body, self.jws)


@dataclass(frozen=True, slots=True)
class Draft:
    """A receipt that is about to be issued.

    Attributes:
        user_digest: Of the user who was forgotten; None for a tenant.
        public_jwk: What it verifies with.
    """

    receipt: Receipt
    user_digest: bytes | None
    issued_at: datetime
    public_jwk: Mapping[str, Any]


type Keep = Callable[[Draft], Awaitable[None]]


class ReceiptRepository:
    """Issues and reads receipts. Each method is one transaction.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine, keep: Keep | None = None) -> None:
        """Use an engine of this event loop.

        Args:
            engine: Of a login that may issue them.
            keep: Told of each before it is issued; there is none if it raises.
        """
        self._plane = ControlPlane(engine)
        self._keep = keep

    async def issue(
        self, found: Offboarding, looks: Sequence[Look], key: SigningKey, *, backups_kept: timedelta
    ) -> bool:
        """Sign that all is gone, and end the offboarding; False when somebody else holds it.

        Args:
            found: What is over.
            looks: Where the verifier looked; each found nothing.
            key: Signs it.
            backups_kept: After so long no backup holds any of it.

        Raises:
            StorageError: It cannot be kept outside of the database, where it is to be.
        """

        async def work(transaction: Transaction) -> bool:
            ended = await transaction.one(
                "end_purge", offboarding_id=found.offboarding_id, holder=found.holder
            )
            if ended is None:
                return False
            await transaction.execute("hold_chain")
            last = await transaction.one("last_receipt")
            clock = last or await transaction.one("database_time")
            assert clock is not None, "the database has a clock"  # noqa: S101 - for the type checker
            now: datetime = clock["now"]
            previous = None if last is None else digest_of(last["body"])
            sequence = 1 if last is None else int(last["sequence"]) + 1
            body = canonical(_content(found, looks, sequence, previous, now, now + backups_kept))
            receipt = Receipt(
                found.offboarding_id, sequence, found.tenant_id, body, signed(body, key), key.kid
            )
            if self._keep is not None:
                await self._keep(Draft(receipt, found.user_digest, now, key.public_jwk))
            await transaction.execute("create_receipt", **asdict(receipt), issued_at=now, previous=previous)
            await transaction.execute(
                "create_tombstone",
                receipt_id=found.offboarding_id,
                tenant_id=found.tenant_id,
                user_digest=found.user_digest,
                purged_at=now,
            )
            await transaction.note(_WORKER, "offboarding.purged", str(found.offboarding_id), None)
            return True

        return await self._plane.run(work)

    async def get(self, receipt_id: uuid.UUID) -> Receipt | None:
        """One by its id, which is that of its offboarding; or None."""
        row = await self._plane.run(lambda transaction: transaction.one("get_receipt", receipt_id=receipt_id))
        return None if row is None else _receipt(row)

    async def page(self, *, after: int = 0, limit: int = 100) -> list[Receipt]:
        """Receipts in the order of the chain."""
        rows = await self._plane.run(
            lambda transaction: transaction.all("list_receipts", after=after, most=limit)
        )
        return [_receipt(row) for row in rows]

    async def jwks(self) -> dict[str, Any]:
        """The public keys that receipts were ever signed with: good for them for ever, for tokens no more."""
        rows = await self._plane.run(lambda transaction: transaction.all("receipt_keys"))
        return {"keys": [as_json(row["public_jwk"]) for row in rows]}


def _content(
    found: Offboarding,
    looks: Sequence[Look],
    sequence: int,
    previous: bytes | None,
    now: datetime,
    backups_until: datetime,
) -> dict[str, Any]:
    """What a receipt says. No personal data: ids that were made here, digests, numbers and times."""
    partitions = {name: size for name, size in found.counts.items() if is_leaf(name)}
    return {
        "format": FORMAT,
        "version": VERSION,
        "receipt_id": str(found.offboarding_id),
        "sequence": sequence,
        "previous": None if previous is None else previous.hex(),
        "issued_at": now.isoformat(),
        "kind": found.kind,
        "tenant_id": str(found.tenant_id),
        "slug_sha256": found.slug_digest.hex(),
        "user_sha256": None if found.user_digest is None else found.user_digest.hex(),
        "requested_at": found.created_at.isoformat(),
        "fenced_at": None if found.fenced_at is None else found.fenced_at.isoformat(),
        "placements": list(found.placements),
        "deleted": {name: rows for name, rows in found.counts.items() if not is_leaf(name)},
        "dropped_partitions_bytes": partitions,
        "verified": [
            {"place": look.place, "question": look.question, "found": look.found} for look in _summed(looks)
        ],
        "kept": [
            "agentflow_offboardings",
            "agentflow_receipts",
            "agentflow_tombstones",
            "agentflow_placements",
            "agentflow_ended_keys",
        ],
        "backups_expire_at": backups_until.isoformat(),
    }


def _summed(looks: Sequence[Look]) -> list[Look]:
    """Leaves of one parent as one entry: a deployment may have thousands."""
    summed: dict[tuple[str, str], int] = {}
    leaves: dict[tuple[str, str], int] = {}
    for look in looks:
        parent = parent_of(look.place)
        at = (parent, look.question)
        summed[at] = summed.get(at, 0) + look.found
        leaves[at] = leaves.get(at, 0) + 1
    return [
        Look(
            place if leaves[place, question] == 1 else f"{place}, {leaves[place, question]} leaves",
            question,
            found,
        )
        for (place, question), found in summed.items()
    ]


def _receipt(row: RowMapping) -> Receipt:
    values = {name: row[name] for name in ("sequence", "body", "jws", "key_id")}
    return Receipt(
        receipt_id=uuid.UUID(bytes=row["receipt_id"].bytes),
        tenant_id=uuid.UUID(bytes=row["tenant_id"].bytes),
        **values,
    )
