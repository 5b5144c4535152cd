"""What a client is told of a quota that is used up, or of a limit that something is over."""

from typing import Any

from agentflow.errors import TooLargeError
from agentflow_tenancy import QuotaExceededError


def details_of(error: QuotaExceededError) -> list[dict[str, Any]]:
    """One detail, in the envelope's form, with the quota's figures beside it."""
    decision = error.decision
    standing = decision.standing(decision.quota or "")
    detail: dict[str, Any] = {
        "loc": ["quota", decision.quota],
        "msg": str(error),
        "type": "quota_exceeded",
        "quota": decision.quota,
        "retry_after_s": decision.retry_after_whole_s,
    }
    if standing is not None:
        detail |= {"limit": standing.limit, "remaining": standing.remaining, "reset_s": standing.reset_s}
    return [detail]


def sizes_in(error: TooLargeError) -> list[dict[str, Any]]:
    """One detail: which limit, how much it allows, and how much there was."""
    return [
        {
            "loc": ["limit", error.limit],
            "msg": str(error),
            "type": "too_large",
            "limit": error.allowed,
            "size": error.size,
        }
    ]
