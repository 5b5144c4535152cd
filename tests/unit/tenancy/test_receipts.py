"""Receipts without a database: what verifies, and what does not."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agentflow_tenancy.offboarding.receipts import (
    FORMAT,
    ReceiptError,
    as_file,
    canonical,
    digest_of,
    signed,
    verify,
    verify_chain,
)
from agentflow_tenancy.signing_keys import SigningKey


def key_of(kid: str) -> SigningKey:
    private = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
    public |= {"kid": kid, "use": "sig", "alg": "ES256"}
    return SigningKey(kid, jwt.PyJWK(public), private, public)


KEY = key_of("one-one-one")
JWKS = {"keys": [KEY.public_jwk]}


def chain(length: int) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = []
    previous = None
    for sequence in range(1, length + 1):
        body = canonical(
            {"format": FORMAT, "version": 1, "sequence": sequence, "previous": previous, "deleted": {"ä": 7}}
        )
        files.append(as_file(body, signed(body, KEY)))
        previous = digest_of(body).hex()
    return json.loads(json.dumps(files, indent=3))  # type: ignore[no-any-return]


def test_a_receipt_verifies_however_its_file_is_written() -> None:
    """Spaces and escapes of the file are not what was signed."""
    assert verify(chain(1)[0], JWKS)["deleted"] == {"ä": 7}


def changed(field: str, value: Any) -> dict[str, Any]:
    (file,) = chain(1)
    file["receipt"][field] = value
    return file


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (changed("deleted", {}), "changed"),
        (changed("deleted", {"ä": float("nan")}), "no receipt holds"),
        (changed("kind", "\ud800"), "no receipt holds"),
        (changed("sequence", 2), "changed"),
        (changed("more", 1), "changed"),
        ({"receipt": {}}, "it is not like"),
        ([], "it is not like"),
        ({"receipt": {}, "jws": "a.b"}, "signature cannot be read"),
    ],
)
def test_what_was_changed_does_not(file: Any, problem: str) -> None:
    """Whatever of it."""
    with pytest.raises(ReceiptError, match=problem):
        verify(file, JWKS)


def test_another_key() -> None:
    """Neither one of another id, nor one that calls itself the same, nor a token's signature."""
    (file,) = chain(1)
    with pytest.raises(ReceiptError, match="none with the id"):
        verify(file, {"keys": [key_of("two-two-two").public_jwk]})
    with pytest.raises(ReceiptError, match="not by that key"):
        verify(file, {"keys": [key_of("one-one-one").public_jwk]})
    with pytest.raises(ReceiptError, match="none with the id"):
        verify(file, {"keys": 7})
    token = jwt.encode(file["receipt"], KEY.private, algorithm="ES256", headers={"kid": KEY.kid})
    with pytest.raises(ReceiptError, match="no receipt"):
        verify({**file, "jws": token}, JWKS)


def test_a_newer_version_is_not_guessed_at() -> None:
    """What this program does not know it does not call verified."""
    body = canonical({"format": FORMAT, "version": 2})
    with pytest.raises(ReceiptError, match="version 2"):
        verify(as_file(body, signed(body, KEY)), JWKS)


def test_a_chain() -> None:
    """One that is left out or replaced shows."""
    files = chain(4)
    assert verify_chain(files, JWKS) == 4
    with pytest.raises(ReceiptError, match="one is missing"):
        verify_chain([files[0], files[2]], JWKS)
    body = canonical({**files[1]["receipt"], "deleted": {}})
    replaced = as_file(body, signed(body, KEY))
    with pytest.raises(ReceiptError, match="replaced"):
        verify_chain([files[0], replaced, files[2]], JWKS)
