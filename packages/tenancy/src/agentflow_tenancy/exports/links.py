"""Links that download one archive until they expire: signed, so that they open nothing else."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from agentflow_tenancy.exports.errors import LinkError

_PURPOSE: Final = b"agentflow export link"
_IDS: Final = 32
_TIME: Final = 8
_SIGNATURE: Final = 32
_GONE: Final = "This link has expired, or it never was one: ask for a new one."


@dataclass(frozen=True, slots=True)
class Link:
    """What a link opens.

    Attributes:
        expires_at_s: Unix time.
    """

    tenant_id: UUID
    export_id: UUID
    expires_at_s: int


class Links:
    """Makes and reads links."""

    def __init__(self, pepper: bytes) -> None:
        """Sign with a key that is made of the server's pepper, for this purpose alone."""
        self._key = hmac.digest(pepper, _PURPOSE, hashlib.sha256)

    def make(self, link: Link) -> str:
        """The link's text, fit for a path."""
        said = link.tenant_id.bytes + link.export_id.bytes + link.expires_at_s.to_bytes(_TIME)
        return base64.urlsafe_b64encode(said + self._signature(said)).rstrip(b"=").decode()

    def read(self, text: str) -> Link:
        """What a link opens.

        Raises:
            LinkError: It was not made here, was changed, or has expired: which one is not said.
        """
        try:
            given = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise LinkError(_GONE) from None
        said, signature = given[:-_SIGNATURE], given[-_SIGNATURE:]
        if len(said) != _IDS + _TIME or not hmac.compare_digest(signature, self._signature(said)):
            raise LinkError(_GONE)
        link = Link(UUID(bytes=said[:16]), UUID(bytes=said[16:32]), int.from_bytes(said[_IDS:]))
        if link.expires_at_s <= time.time():
            raise LinkError(_GONE)
        return link

    def _signature(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, hashlib.sha256)
