"""Who a browser is signed in as: put into a request by the console, and by nothing from outside."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_IDENTITY: Final = "console_session"


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in: as whom, never by which secret.

    Attributes:
        key_id: Of the tenant's key that it signed in with; None is the operator.
        proof: The operator's: a fingerprint of the token it signed in with.
        seed: What its forms' tokens are made of.
        began_at, issued_at: Seconds of the epoch: the sign-in, and this cookie.
    """

    key_id: str | None
    proof: str
    seed: str
    began_at: int
    issued_at: int

    @property
    def is_operator(self) -> bool:
        """Whether it is the operator's."""
        return self.key_id is None

    def proves(self, fingerprint: str) -> bool:
        """Whether the operator's token is still the one that it signed in with."""
        return hmac.compare_digest(self.proof, fingerprint)


def admit(scope: dict[str, Any], session: Session) -> None:
    """The same in place: whoever is outside finds what a route says of itself in the request's state."""
    scope.setdefault("state", {})[_IDENTITY] = session


def with_session(scope: dict[str, Any], session: Session) -> dict[str, Any]:
    """A request whose one credential is a session."""
    return {**scope, "state": {**scope.get("state", {}), _IDENTITY: session}}


def session_of(scope: Mapping[str, Any]) -> Session | None:
    """The session that a request came with."""
    session: Session | None = scope.get("state", {}).get(_IDENTITY)
    return session
