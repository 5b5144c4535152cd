"""The keys that the service's own tokens are signed with."""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import ConfigurationError
from agentflow_tenancy.control_plane import SYSTEM, Actor, ControlPlane, Transaction, as_json

ALGORITHM: Final = "ES256"
# Longer than any token lives, so that none ends because its key was replaced.
VERIFIES_S: Final = 3600
_KID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
_RELOAD_S: Final = 30.0
_UNKNOWN_KID_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key by its id; its private half never shows in a repr."""

    kid: str
    public: jwt.PyJWK
    private: ec.EllipticCurvePrivateKey
    public_jwk: dict[str, Any]

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"


class SigningKeys:
    """Knows the keys, makes the first, and learns of new ones at once when it meets their ids."""

    def __init__(
        self, engine: AsyncEngine, pepper: bytes, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is read yet."""
        self._plane = ControlPlane(engine)
        self._sealer = AESGCM(
            HKDF(hashes.SHA256(), 32, salt=None, info=b"agentflow signing keys").derive(pepper)
        )
        self._clock = clock
        self._keys: dict[str, SigningKey] = {}
        self._current: SigningKey | None = None
        self._is_sealed_elsewhere = False
        self._read_at = -_RELOAD_S
        self._looked_at = -_UNKNOWN_KID_S
        self._reading = asyncio.Lock()

    async def current(self) -> SigningKey:
        """The key that signs; made when there is none."""
        await self._fresh(_RELOAD_S)
        if self._is_sealed_elsewhere:
            raise ConfigurationError(
                "AGENTFLOW_KEY_PEPPER is not the one that the signing key was sealed with: set that one, or "
                "make a new key by POST /v1/admin/signing-keys/rotate."
            )
        if self._current is None:
            await self._make(SYSTEM, secrets.token_urlsafe(12), replaces=False)
        assert self._current is not None, "a key was made a moment ago"  # noqa: S101 - for the type checker
        return self._current

    async def find(self, kid: object) -> SigningKey | None:
        """The key of that id, if it may verify. An unknown id is asked about at most once a second."""
        if not isinstance(kid, str) or not _KID.fullmatch(kid):
            return None
        await self._fresh(_RELOAD_S)
        if kid not in self._keys:
            await self._look_again()
        return self._keys.get(kid)

    async def jwks(self) -> dict[str, Any]:
        """The public keys, for whoever checks tokens himself; no older than a second."""
        await self.current()
        await self._fresh(_UNKNOWN_KID_S)
        return {"keys": [key.public_jwk for key in self._keys.values()]}

    async def rotate(self, actor: Actor, kid: str | None = None) -> str:
        """Sign with a new key from now on; its id. Of two rotations at once one is made.

        Args:
            actor: Who does.
            kid: Its id, of 8 to 64 letters, digits, `-` and `_`; one that was made before is not made again.
        """
        wanted = kid or secrets.token_urlsafe(12)
        is_there = await self._make(actor, wanted, replaces=True)
        return wanted if is_there else (await self.current()).kid

    async def _make(self, actor: Actor, kid: str, *, replaces: bool) -> bool:
        private = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
        public |= {"kid": kid, "use": "sig", "alg": ALGORITHM}
        plain = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        nonce = secrets.token_bytes(12)
        sealed = nonce + self._sealer.encrypt(nonce, plain, kid.encode())

        async def work(transaction: Transaction) -> bool:
            if await transaction.one("find_signing_key", kid=kid) is not None:
                return True
            if replaces:
                await transaction.execute("retire_signing_key", kid=kid)
            made = await transaction.one(
                "create_signing_key", kid=kid, public_jwk=json.dumps(public), sealed=sealed
            )
            if made is not None:
                await transaction.note(actor, "signing_key.create", kid, None)
            return made is not None

        is_there = await self._plane.run(work)
        await self._read()
        return is_there

    async def _fresh(self, at_most_s: float) -> None:
        if self._clock() - self._read_at < at_most_s:
            return
        async with self._reading:
            if self._clock() - self._read_at >= at_most_s:
                await self._read()

    async def _look_again(self) -> None:
        """Read anew for an unknown id: once a second, however many are made up."""
        async with self._reading:
            if self._clock() - self._looked_at >= _UNKNOWN_KID_S:
                self._looked_at = self._clock()
                await self._read()

    async def _read(self) -> None:
        asked_at = self._clock()
        rows = await self._plane.run(
            lambda transaction: transaction.all("signing_keys", verifies_s=VERIFIES_S)
        )
        keys = {key.kid: key for key in map(self._opened, rows) if key is not None}
        signing = next((str(row["kid"]) for row in rows if row["retired_at"] is None), None)
        self._keys = keys
        self._current = None if signing is None else keys.get(signing)
        self._is_sealed_elsewhere = signing is not None and self._current is None
        self._read_at = asked_at

    def _opened(self, row: RowMapping) -> SigningKey | None:
        """The key; None when it was sealed with another pepper, and so is none of this deployment's."""
        sealed: bytes = row["sealed"]
        try:
            plain = self._sealer.decrypt(sealed[:12], sealed[12:], row["kid"].encode())
        except InvalidTag:
            return None
        private = serialization.load_der_private_key(plain, None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)  # noqa: S101 - for the type checker
        public = as_json(row["public_jwk"])
        return SigningKey(row["kid"], jwt.PyJWK(public), private, public)
