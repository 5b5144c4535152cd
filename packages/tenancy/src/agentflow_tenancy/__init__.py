"""Tenants, their credentials and where their rows live. Rules and values; knows no web framework."""

from agentflow_tenancy.authenticator import Authenticator
from agentflow_tenancy.errors import (
    CredentialError,
    ForbiddenError,
    InvalidLimitsError,
    InvalidSlugError,
    SlugTakenError,
    TenancyError,
    TenantSuspendedError,
)
from agentflow_tenancy.keys import ApiKey, new_api_key, parse_api_key
from agentflow_tenancy.plans import PLANS, Limits, limits_of
from agentflow_tenancy.repository import TenantRepository
from agentflow_tenancy.slugs import check_slug, public_thread_id, stored_thread_id
from agentflow_tenancy.tenants import ALL_SCOPES, GRAPH_INVOKE, THREADS_READ, THREADS_WRITE, Principal, Tenant

__all__ = [
    "ALL_SCOPES",
    "GRAPH_INVOKE",
    "PLANS",
    "THREADS_READ",
    "THREADS_WRITE",
    "ApiKey",
    "Authenticator",
    "CredentialError",
    "ForbiddenError",
    "InvalidLimitsError",
    "InvalidSlugError",
    "Limits",
    "Principal",
    "SlugTakenError",
    "TenancyError",
    "Tenant",
    "TenantRepository",
    "TenantSuspendedError",
    "check_slug",
    "limits_of",
    "new_api_key",
    "parse_api_key",
    "public_thread_id",
    "stored_thread_id",
]
