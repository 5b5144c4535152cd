"""API keys: `af_live_<key id>_<secret>_<checksum>`.

The checksum tells a mistyped key without a look-up. The whole key is stored only as HMAC-SHA-256
under the server's pepper.
"""

import hashlib
import hmac
import re
import secrets
import string
import uuid
import zlib
from dataclasses import dataclass, field
from typing import Final

from agentflow_tenancy.errors import CredentialError

API_KEY_PREFIX: Final = "af_live_"
_ALPHABET: Final = string.digits + string.ascii_letters
_ID_LENGTH: Final = 12
_SECRET_LENGTH: Final = 32  # 190 bits
_CHECKSUM_LENGTH: Final = 6
_KEY: Final = re.compile(
    rf"(af_live_([0-9A-Za-z]{{{_ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}})_([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its owner presents it; its text never shows in a repr."""

    key_id: str
    text: str = field(repr=False)

    def digest(self, pepper: bytes) -> bytes:
        """What is stored of it: 32 bytes."""
        return hmac.digest(pepper, self.text.encode(), hashlib.sha256)


def new_api_key() -> ApiKey:
    """A fresh key. Shown once; it cannot be read back."""
    key_id = _random(_ID_LENGTH)
    body = f"af_live_{key_id}_{_random(_SECRET_LENGTH)}"
    return ApiKey(key_id, f"{body}_{_checksum(body)}")


def made_api_key(pepper: bytes, effect_id: uuid.UUID) -> ApiKey:
    """The key that an effect makes: the same one each time, so that it need not be stored to be shown again.

    Args:
        pepper: The server's secret; without it the effect's id tells nothing.
        effect_id: Random, and of this key alone.
    """
    number = int.from_bytes(hmac.digest(pepper, b"api key:" + effect_id.bytes, hashlib.sha512))
    text = ""
    for _ in range(_ID_LENGTH + _SECRET_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        text += _ALPHABET[digit]
    body = f"af_live_{text[:_ID_LENGTH]}_{text[_ID_LENGTH:]}"
    return ApiKey(text[:_ID_LENGTH], f"{body}_{_checksum(body)}")


def parse_api_key(text: str) -> ApiKey:
    """Read a presented key without any look-up.

    Raises:
        CredentialError: It is not a key, or is mistyped.
    """
    match = _KEY.fullmatch(text)
    if match is None or match[3] != _checksum(match[1]):
        raise CredentialError("This is not an API key of this service; check that it was copied whole.")
    return ApiKey(match[2], text)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
