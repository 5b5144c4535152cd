"""What goes wrong with tenants and credentials, split by what the caller can do."""


class TenancyError(Exception):
    """Root of this package's errors."""

    code = "TENANCY_ERROR"


class InvalidSlugError(TenancyError):
    """A slug is not lower-case letters, digits and inner hyphens."""

    code = "INVALID_SLUG"


class InvalidLimitsError(TenancyError):
    """A plan or a limit is none that there is."""

    code = "INVALID_LIMITS"


class SlugTakenError(TenancyError):
    """There is a tenant of that name."""

    code = "SLUG_TAKEN"


class CredentialError(TenancyError):
    """The credential is missing, malformed, unknown, expired or revoked: which one is not said."""

    code = "UNAUTHORIZED"


class ForbiddenError(TenancyError):
    """The credential is good but may not do this."""

    code = "FORBIDDEN"


class TenantSuspendedError(ForbiddenError):
    """The tenant is suspended."""

    code = "TENANT_SUSPENDED"
