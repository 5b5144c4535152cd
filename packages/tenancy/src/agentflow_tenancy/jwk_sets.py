"""Sets of public keys as issuers publish them: what of them may check a signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWKError, PyJWTError

# By type and curve of a key. Only asymmetric: a shared secret has no place in what everybody may read.
_ALGORITHMS: Final[Mapping[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ISSUER_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")

_PRIVATE_PARTS: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_PUBLIC_PARTS: Final = ("kty", "crv", "x", "y", "n", "e")
_MAX_KEYS: Final = 50
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192  # a larger one makes checking slow


class JwkSetError(ValueError):
    """It is no set of public keys that can be used; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class JwkSet:
    """Keys by id and algorithm."""

    keys: Mapping[tuple[str | None, str], PyJWK]

    def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key a token names; without a name the only one of its algorithm."""
        if kid is not None:
            return self.keys.get((kid, algorithm))
        fitting = [key for (_, its), key in self.keys.items() if its == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def read_jwk_set(text: bytes | str) -> JwkSet:
    """A set as it was fetched.

    Raises:
        JwkSetError: It is none.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JwkSetError("it is not JSON") from error
    return jwk_set(document)


def jwk_set(document: object) -> JwkSet:
    """A set's keys, without those for other uses and of types that are not taken.

    Raises:
        JwkSetError: It is none, holds a private key, or none of its keys can be used.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise JwkSetError(f"it must be an object with 'keys', a list of at most {_MAX_KEYS}")
    keys: dict[tuple[str | None, str], PyJWK] = {}
    for jwk in listed:
        if isinstance(jwk, dict):
            keys.update(_usable(jwk))
    if not keys:
        raise JwkSetError(f"none of its keys fits {', '.join(ISSUER_ALGORITHMS)}")
    return JwkSet(keys)


def _usable(jwk: dict[str, Any]) -> dict[tuple[str | None, str], PyJWK]:
    if any(part in jwk for part in _PRIVATE_PARTS):
        raise JwkSetError("it holds a private or secret key; publish the public ones only")
    kid, its_algorithm = jwk.get("kid"), jwk.get("alg")
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if jwk.get("use", "sig") != "sig" or not (kid is None or isinstance(kid, str)):
        return {}
    if not isinstance(kind, str) or not (curve is None or isinstance(curve, str)):
        return {}
    fitting = _ALGORITHMS.get((kind, curve), ())
    # Nothing but the numbers: no certificate or address in it is looked at.
    bare: dict[str, Any] = {part: jwk[part] for part in _PUBLIC_PARTS if part in jwk}
    chosen = [name for name in fitting if its_algorithm in (None, name)]
    return {(kid, name): key for name in chosen if (key := _key(bare, name)) is not None}


def _key(jwk: dict[str, Any], algorithm: str) -> PyJWK | None:
    try:
        key = PyJWK(jwk, algorithm)
    except (PyJWKError, PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey) and not _MIN_RSA_BITS <= key.key.key_size <= _MAX_RSA_BITS:
        return None
    return key
