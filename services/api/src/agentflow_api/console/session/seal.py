"""The cookie that keeps a browser signed in, and the tokens of its forms.

Neither holds a secret that opens anything else: the cookie names a key and is signed, so the key itself
stays with who has it; each request looks at the key's record, as tokens do, so that a revoked one ends its
sessions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

import jwt

from agentflow_api.http.sessions import Session

LONGEST_S: Final = 12 * 3600
IDLE_S: Final = 3600
# A cookie older than this is given out anew, so that who works is not signed out.
RENEW_S: Final = 300
_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "console"


class Seal:
    """Makes sessions and reads them back. What others made, or is over, is none."""

    def __init__(self, pepper: bytes, *, clock: Callable[[], float] = time.time) -> None:
        """Keys are derived from the pepper: every replica has them, and a new pepper ends all sessions."""
        self._cookies = _derived(pepper, b"agentflow console cookie")
        self._forms = _derived(pepper, b"agentflow console form")
        self._operators = _derived(pepper, b"agentflow console operator")
        self._clock = clock

    def begin(self, key_id: str | None, operator_token: str = "") -> Session:
        """A session of a key, or of the operator's token."""
        now = int(self._clock())
        proof = self.fingerprint(operator_token) if key_id is None else ""
        return Session(key_id, proof, secrets.token_urlsafe(16), now, now)

    def fingerprint(self, operator_token: str) -> str:
        """Of an operator's token: says nothing of it."""
        return _text(hmac.digest(self._operators, operator_token.encode(), hashlib.sha256))

    def cookie(self, session: Session) -> str:
        """The session as a cookie's value."""
        claims = {
            "aud": _AUDIENCE,
            "exp": min(session.issued_at + IDLE_S, session.began_at + LONGEST_S),
            "iat": session.issued_at,
            "auth_time": session.began_at,
            "sub": session.key_id or "",
            "proof": session.proof,
            "seed": session.seed,
        }
        return jwt.encode(claims, self._cookies, _ALGORITHM)

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None when it is malformed, another's, or over."""
        try:
            claims = jwt.decode(
                cookie,
                self._cookies,
                [_ALGORITHM],
                audience=_AUDIENCE,
                options={"require": ["exp", "iat"], "verify_exp": False, "verify_iat": False},
            )
            session = Session(
                claims["sub"] or None,
                str(claims["proof"]),
                str(claims["seed"]),
                int(claims["auth_time"]),
                int(claims["iat"]),
            )
            ends_at = int(claims["exp"])
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            return None
        return session if self._clock() < ends_at else None

    def renewed(self, session: Session) -> Session | None:
        """The session for a new cookie, once the old one has some age; None before."""
        now = int(self._clock())
        if now - session.issued_at < RENEW_S:
            return None
        return Session(session.key_id, session.proof, session.seed, session.began_at, now)

    def form_token(self, session: Session) -> str:
        """What a form of this session carries: no other page can know it."""
        return _text(hmac.digest(self._forms, session.seed.encode(), hashlib.sha256))

    def is_form_token(self, session: Session, given: str) -> bool:
        """Whether a form is the session's own."""
        return hmac.compare_digest(given.encode(), self.form_token(session).encode())


def _derived(pepper: bytes, label: bytes) -> bytes:
    return hmac.digest(pepper, label, hashlib.sha256)


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
