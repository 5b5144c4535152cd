"""The file of tombstones: read back as written, and never in part."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agentflow_tenancy.offboarding.receipts import FORMAT, VERSION, canonical, signed
from agentflow_tenancy.signing_keys import SigningKey
from agentflow_tenancy.tombstones import (
    BadTombstonesError,
    Tombstone,
    TombstoneFile,
    read_tombstones,
    written,
)
from agentflow_tenancy.tombstones.tombstone import Issued

TOMBSTONES = [
    Tombstone(uuid.UUID(int=1), None, datetime(2026, 3, 1, 12, tzinfo=UTC), uuid.UUID(int=2)),
    Tombstone(uuid.UUID(int=1), bytes(range(32)), datetime(2026, 3, 2, 12, tzinfo=UTC), uuid.UUID(int=3)),
]


def test_read_as_written() -> None:
    assert read_tombstones(written(TOMBSTONES)) == TOMBSTONES
    assert read_tombstones("") == []


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"tenant_id"', '"tenant"'),
        ("-000000000001", "-00000000000x"),
        ("null", '"00"'),
        ("null", "7"),
        ("+00:00", ""),
        ("{", "["),
    ],
)
def test_no_part_of_a_file_is_read(good: str, bad: str) -> None:
    """A line that is none is told by its number."""
    text = written(TOMBSTONES)
    lines = text.splitlines(keepends=True)
    with pytest.raises(BadTombstonesError, match="Line 2"):
        read_tombstones(lines[1] + lines[0].replace(good, bad, 1))


def test_a_file_that_was_cut_off() -> None:
    """At the end of a line's text, where nothing else shows it."""
    with pytest.raises(BadTombstonesError, match="cut off"):
        read_tombstones(written(TOMBSTONES)[:-1])


def test_the_last_line_of_a_receipt_counts() -> None:
    """What was written before a receipt that was not issued after all is not what was signed in the end."""
    later = replace(TOMBSTONES[0], purged_at=datetime(2026, 3, 3, tzinfo=UTC))
    assert read_tombstones(written([*TOMBSTONES, later])) == [TOMBSTONES[1], later]


def with_receipt() -> Tombstone:
    receipt_id, tenant_id = uuid.UUID(int=7), uuid.UUID(int=1)
    receipt = {
        "format": FORMAT,
        "version": VERSION,
        "receipt_id": str(receipt_id),
        "tenant_id": str(tenant_id),
        "sequence": 1,
    }
    private = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key())) | {"kid": "key-of-test"}
    key = SigningKey("key-of-test", jwt.PyJWK(public, algorithm="ES256"), private, public)
    body = canonical(receipt)
    issued = Issued(body, signed(body, key), public)
    return Tombstone(tenant_id, None, datetime(2026, 3, 1, tzinfo=UTC), receipt_id, issued)


def test_receipts_are_read_with_them() -> None:
    """Those that do not verify, or are another one's, are none."""
    one = with_receipt()
    assert read_tombstones(written([one, *TOMBSTONES])) == [one, *TOMBSTONES]
    text = written([one])
    for good, bad in (
        ('"sequence": 1', '"sequence": 2'),
        ('"tenant_id": "0', '"tenant_id": "1'),
        ('"kid": "key-of-test"', '"kid": "another"'),
    ):
        with pytest.raises(BadTombstonesError, match="Line 1|line 1"):
            read_tombstones(text.replace(good, bad, 1))


def test_a_file_grows(tmp_path: Path) -> None:
    """A line that its writer did not end is cut, whatever its length; nobody reads it before."""
    path = tmp_path / "tombstones.jsonl"
    file = TombstoneFile(path)
    assert file.read() == []
    assert file.stamp() is None
    file.append(TOMBSTONES[:1])
    first = file.stamp()
    assert path.stat().st_mode & 0o777 == 0o600
    for torn in ('{"tenant_id": "', "x" * 10_000):
        path.write_text(written(TOMBSTONES[:1]) + torn)
        with pytest.raises(BadTombstonesError, match="cut off"):
            file.read()
        file.append(TOMBSTONES[1:])
        assert file.read() == TOMBSTONES
    assert file.stamp() != first
    path.write_text("x" * 5000)
    file.append(TOMBSTONES)
    assert file.read() == TOMBSTONES


def test_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each line is whole."""
    path = tmp_path / "tombstones.jsonl"
    stones = [replace(TOMBSTONES[0], receipt_id=uuid.UUID(int=number)) for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: TombstoneFile(path).append([one]), stones))
    assert {one.receipt_id for one in TombstoneFile(path).read()} == {one.receipt_id for one in stones}
