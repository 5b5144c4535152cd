"""Signatures of webhooks, as https://www.standardwebhooks.com has them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from typing import Final

_PREFIX: Final = "whsec_"


def webhook_secret(pepper: bytes, tenant_id: uuid.UUID) -> str:
    """What a tenant checks its webhooks with. Made from the service's own secret, so it is stored nowhere."""
    made = hmac.digest(pepper, f"webhook:{tenant_id}".encode(), hashlib.sha256)
    return _PREFIX + base64.b64encode(made).decode("ascii")


def signed_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that say who sends a body, and when.

    Args:
        secret: As `webhook_secret` gives it.
        message_id: The same for each attempt at one message.
        timestamp: Of this attempt, in seconds.
        body: As it is sent.
    """
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode('ascii')}",
    }
