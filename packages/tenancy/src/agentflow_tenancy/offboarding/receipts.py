"""Receipts: what was deleted, signed, each with the digest of the one before it. No database here.

A file of a receipt is JSON: `{"receipt": {...}, "jws": "..."}`. `jws` is a compact JWS (RFC 7515) whose
payload is the canonical text of `receipt`: JSON in UTF-8 with sorted keys and no spaces. Whoever has the
public keys can check it without this service.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import jwt
from jwt.api_jws import PyJWS

from agentflow_tenancy.signing_keys import ALGORITHM, SigningKey

FORMAT: Final = "agentflow-receipt"
VERSION: Final = 1
_TYPE: Final = "agentflow-receipt+json"


class ReceiptError(ValueError):
    """A receipt does not verify; the text says why."""


def canonical(receipt: Mapping[str, Any]) -> str:
    """The one text of a receipt that is signed."""
    return json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(body: str) -> bytes:
    """Of a receipt's canonical text: the next receipt holds it."""
    return hashlib.sha256(body.encode()).digest()


def signed(body: str, key: SigningKey) -> str:
    """The JWS of a canonical text."""
    headers = {"kid": key.kid, "typ": _TYPE}
    return PyJWS().encode(body.encode(), key.private, algorithm=ALGORITHM, headers=headers)


def as_file(body: str, jws: str) -> dict[str, Any]:
    """A receipt as it is handed out."""
    return {"receipt": json.loads(body), "jws": jws}


def verify(file: Any, jwks: Any) -> dict[str, Any]:
    """Check one receipt against public keys.

    Args:
        file: As `as_file` made it.
        jwks: A JSON Web Key Set.

    Returns:
        The receipt.

    Raises:
        ReceiptError: It is none, was changed, or is signed by none of these keys.
    """
    receipt, jws = _parts(file)
    try:
        kid = jwt.get_unverified_header(jws).get("kid")
    except jwt.PyJWTError as error:
        raise ReceiptError(f"its signature cannot be read ({error})") from error
    key = _key(jwks, kid)
    try:
        complete = PyJWS().decode_complete(jws, key.key, algorithms=[ALGORITHM])
    except jwt.PyJWTError as error:
        raise ReceiptError("its signature is not by that key, or what it signs was changed") from error
    if complete["header"].get("typ") != _TYPE:
        raise ReceiptError("what is signed is no receipt")
    if complete["payload"] != _text_of(receipt):
        raise ReceiptError("it is not what was signed: it was changed")
    if receipt.get("format") != FORMAT:
        raise ReceiptError("what is signed is no receipt")
    if receipt.get("version") != VERSION:
        raise ReceiptError(f"it has version {receipt.get('version')!r}, and this program knows {VERSION}")
    return receipt


def verify_chain(files: Iterable[Any], jwks: Any) -> int:
    """Check receipts in their order: each by itself, and that none is missing between them.

    Returns:
        How many they are.

    Raises:
        ReceiptError: See `verify`; or one does not follow the one before it.
    """
    before: dict[str, Any] | None = None
    count = 0
    for file in files:
        receipt = verify(file, jwks)
        if before is not None:
            _check_follows(before, receipt)
        before = receipt
        count += 1
    return count


def _check_follows(before: Mapping[str, Any], receipt: Mapping[str, Any]) -> None:
    number = receipt["sequence"]
    if number != before["sequence"] + 1:
        raise ReceiptError(f"receipt {number} follows {before['sequence']}: one is missing")
    if receipt["previous"] != digest_of(canonical(before)).hex():
        raise ReceiptError(f"receipt {number} does not follow the one before it: that one was replaced")


def _text_of(receipt: Mapping[str, Any]) -> bytes:
    try:
        return canonical(receipt).encode()
    except (ValueError, RecursionError) as error:  # numbers that JSON does not know, texts that are none
        raise ReceiptError("it holds what no receipt holds") from error


def _parts(file: Any) -> tuple[dict[str, Any], str]:
    if not (
        isinstance(file, dict) and isinstance(file.get("receipt"), dict) and isinstance(file.get("jws"), str)
    ):
        raise ReceiptError('it is not like {"receipt": {...}, "jws": "..."}')
    return file["receipt"], file["jws"]


def _key(jwks: Any, kid: Any) -> jwt.PyJWK:
    try:
        known = {key.get("kid"): key for key in jwks["keys"]}
        return jwt.PyJWK(known[kid], algorithm=ALGORITHM)
    except (KeyError, TypeError, AttributeError):
        raise ReceiptError(f"the keys have none with the id {kid!r}") from None
    except jwt.PyJWTError as error:
        raise ReceiptError(f"the key {kid!r} cannot be used ({error})") from error
