"""What a token says, before and after its signature is checked. Pure: nothing is looked up here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt import PyJWK

from agentflow_tenancy.errors import CredentialError

LEEWAY_S: Final = 30
MAX_TOKEN_BYTES: Final = 8192
MAX_USER_BYTES: Final = 255

_MAX_NAME: Final = 500
# Also those that other issuers use; never a path.
_KID: Final = re.compile(r"[A-Za-z0-9_.=+:-]{1,200}", re.ASCII)
_NOT_VALID: Final = "This token is not valid."
# A token is read by its receiver's rules: one that tells where its key is to be had does not choose it.
_EXTENSIONS: Final = ("crit", "b64", "zip", "enc")
# What made-up bytes make the reader raise: nests, numbers that are none, numbers without end.
_UNREADABLE: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a token says of itself: nobody has checked it."""

    algorithm: str
    kid: str | None
    issuer: str
    audience: str


def is_token(presented: str) -> bool:
    """Whether a credential has the form of a token: three parts."""
    return presented.count(".") == 2


def refused() -> CredentialError:
    """The one refusal of tokens, whatever is wrong with them."""
    return CredentialError(_NOT_VALID)


def claimed(token: str) -> Claimed:
    """Read a token to find who should check it.

    Raises:
        CredentialError: It is none, is too long, or has an id or name that no key or issuer has.
    """
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise refused()
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    except _UNREADABLE:
        raise refused() from None
    kid = header.get("kid")
    if any(name in header for name in _EXTENSIONS) or not (kid is None or _is_kid(kid)):
        raise refused()
    return Claimed(str(header.get("alg")), kid, _name(claims.get("iss")), _audience(claims.get("aud")))


def verified(
    token: str, key: PyJWK, *, algorithm: str, issuer: str, audience: str, required: Sequence[str]
) -> dict[str, Any]:
    """The claims of a token that this key signed, for this audience, at a time that holds.

    Raises:
        CredentialError: Anything else; one that was good says that it expired.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_S,
            options={"require": list(required)},
        )
    except jwt.ExpiredSignatureError:
        raise CredentialError("This token has expired; get a new one.") from None
    except _UNREADABLE:
        raise refused() from None
    return claims


def user_of(value: object) -> str:
    """A user's id.

    Raises:
        CredentialError: It is no text, is empty or over 255 bytes, or cannot be shown.
    """
    if not is_user_id(value):
        raise refused()
    return str(value)


def is_user_id(value: object) -> bool:
    """Whether a value names a user: printable text of at most 255 bytes."""
    return (
        isinstance(value, str)
        and bool(value.strip())
        and value.isprintable()
        and len(value.encode(errors="replace")) <= MAX_USER_BYTES
    )


def words(value: object) -> frozenset[str]:
    """Scopes as a claim has them: words of a text, or a list."""
    if isinstance(value, str):
        return frozenset(value.split())
    return (
        frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()
    )


def _is_kid(value: object) -> bool:
    return isinstance(value, str) and _KID.fullmatch(value) is not None


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME or "\0" in value:
        raise refused()
    return value


def _audience(value: object) -> str:
    """One alone: of several, another tenant may have registered one, and whose token is it then?"""
    if isinstance(value, list):
        return _name(value[0] if len(value) == 1 else None)
    return _name(value)
