"""Tenants, their credentials and where their rows live. Rules and values; knows no web framework."""

from agentflow_tenancy.authenticator import Authenticator
from agentflow_tenancy.errors import (
    CredentialError,
    ForbiddenError,
    InvalidLimitsError,
    InvalidSlugError,
    OverloadedError,
    QuotaExceededError,
    QuotasUnavailableError,
    SlugTakenError,
    TenancyError,
    TenantLeavingError,
    TenantSuspendedError,
)
from agentflow_tenancy.fair_share import FairShare
from agentflow_tenancy.key_repository import KeyInfo, KeyRepository, NewApiKey
from agentflow_tenancy.keys import ApiKey, new_api_key, parse_api_key
from agentflow_tenancy.plans import PLANS, Limits, limits_of
from agentflow_tenancy.quota_guard import QuotaGuard, Run
from agentflow_tenancy.quota_store import QuotaStore
from agentflow_tenancy.repository import TenantRepository
from agentflow_tenancy.slugs import check_slug, public_thread_id, stored_thread_id
from agentflow_tenancy.tenants import (
    ALL_SCOPES,
    GRAPH_INVOKE,
    KEYS_ADMIN,
    TENANT_ADMIN,
    THREADS_READ,
    THREADS_WRITE,
    USAGE_READ,
    Principal,
    Tenant,
)
from agentflow_tenancy.usage_repository import Usage, UsageRepository

__all__ = [
    "ALL_SCOPES",
    "GRAPH_INVOKE",
    "KEYS_ADMIN",
    "PLANS",
    "TENANT_ADMIN",
    "THREADS_READ",
    "THREADS_WRITE",
    "USAGE_READ",
    "ApiKey",
    "Authenticator",
    "CredentialError",
    "FairShare",
    "ForbiddenError",
    "InvalidLimitsError",
    "InvalidSlugError",
    "KeyInfo",
    "KeyRepository",
    "Limits",
    "NewApiKey",
    "OverloadedError",
    "Principal",
    "QuotaExceededError",
    "QuotaGuard",
    "QuotaStore",
    "QuotasUnavailableError",
    "Run",
    "SlugTakenError",
    "TenancyError",
    "Tenant",
    "TenantLeavingError",
    "TenantRepository",
    "TenantSuspendedError",
    "Usage",
    "UsageRepository",
    "check_slug",
    "limits_of",
    "new_api_key",
    "parse_api_key",
    "public_thread_id",
    "stored_thread_id",
]
