"""Who a run acts as, when its request is long gone."""

from __future__ import annotations

from dataclasses import replace

from agentflow_hosting.runs import RunRecord
from agentflow_tenancy import Principal, TenantRepository
from agentflow_tenancy.authenticator import check_active
from agentflow_tenancy.errors import TenantLeavingError
from agentflow_tenancy.plans import NO_LIMITS


class Principals:
    """Finds them by the records of runs."""

    def __init__(self, tenants: TenantRepository) -> None:
        """Nothing is asked yet."""
        self._tenants = tenants

    async def of(self, run: RunRecord) -> Principal:
        """The principal of a run: as its tenant stands now, with the limits of the key that asked for it.

        A run that was accepted goes on when its key is revoked. Its request was counted when it was made, so
        it is held to every limit but the rate of requests.

        Raises:
            TenantSuspendedError: The tenant is suspended, or leaves, or is gone.
            StoreUnavailableError: Postgres does not answer.

        One round trip or two.
        """
        record = await self._tenants.find_key(run.key_id)
        if record is not None and record.principal.tenant.tenant_id == run.tenant_id:
            principal = record.principal
        else:  # a key that is gone, or a token of another issuer
            tenant = await self._tenants.find_tenant(str(run.tenant_id))
            if tenant is None:
                raise TenantLeavingError("This tenant is gone.")
            principal = Principal(tenant, run.key_id, frozenset(), limits=NO_LIMITS)
        check_active(principal.tenant)
        tenant = principal.tenant
        unpaced = replace(tenant, limits=replace(tenant.limits, requests_per_minute=None, burst=None))
        own = replace(principal.limits, requests_per_minute=None, burst=None)
        return replace(principal, tenant=unpaced, limits=own, user_id=run.user_id)
