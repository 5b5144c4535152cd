"""What goes wrong with tenants and credentials, split by what the caller can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from agentflow_tenancy.quotas import Decision


class TenancyError(Exception):
    """Root of this package's errors.

    Attributes:
        is_for_logs: Whether the text is for who runs the service: it quotes nobody.
    """

    code = "TENANCY_ERROR"
    is_for_logs: ClassVar[bool] = False


class InvalidSlugError(TenancyError):
    """A slug is not lower-case letters, digits and inner hyphens."""

    code = "INVALID_SLUG"


class InvalidLimitsError(TenancyError):
    """A plan or a limit is none that there is."""

    code = "INVALID_LIMITS"


class QuotaExceededError(TenancyError):
    """A limit is reached: ask again in `retry_after_s`.

    Attributes:
        decision: What the quotas said.
    """

    code = "QUOTA_EXCEEDED"

    def __init__(self, decision: Decision) -> None:
        super().__init__(_refusal(decision))
        self.decision = decision
        self.retry_after_s = decision.retry_after_s


class QuotasUnavailableError(TenancyError):
    """What was spent is not known, for longer than is given on trust: nothing more is spent until it is."""

    code = "QUOTAS_UNAVAILABLE"
    is_for_logs = True


class OverloadedError(TenancyError):
    """Too much of the same tenant waits here already."""

    code = "OVERLOADED"


class SlugTakenError(TenancyError):
    """There is a tenant of that name."""

    code = "SLUG_TAKEN"


class MoveConflictError(TenancyError):
    """A tenant is being moved already, or lives there."""

    code = "MOVE_CONFLICT"


class IssuerTakenError(TenancyError):
    """Somebody trusts this issuer for this audience already."""

    code = "ISSUER_TAKEN"


class JwksUnavailableError(TenancyError):
    """The keys of a token's issuer cannot be had now; `__cause__` says why. The text has their address."""

    code = "JWKS_UNAVAILABLE"


class TooManyIssuersError(TenancyError):
    """A tenant has as many issuers as it may."""

    code = "TOO_MANY_ISSUERS"


class CredentialError(TenancyError):
    """The credential is missing, malformed, unknown, expired or revoked: which one is not said."""

    code = "UNAUTHORIZED"


class ForbiddenError(TenancyError):
    """The credential is good but may not do this."""

    code = "FORBIDDEN"


class TenantSuspendedError(ForbiddenError):
    """The tenant is suspended."""

    code = "TENANT_SUSPENDED"


class TenantLeavingError(TenantSuspendedError):
    """The tenant is being offboarded, or is gone: nothing of it is read or written any more."""

    code = "TENANT_GONE"


class OffboardingConflictError(TenancyError):
    """It cannot be done to an offboarding as it stands, or to a tenant that leaves."""

    code = "OFFBOARDING_CONFLICT"


def _refusal(decision: Decision) -> str:
    standing = decision.standing(decision.quota or "")
    limit = "" if standing is None else f" of {standing.limit}"
    return (
        f"The quota {decision.quota!r}{limit} is used up. Try again in {decision.retry_after_whole_s} s"
        " or ask for a higher limit."
    )
