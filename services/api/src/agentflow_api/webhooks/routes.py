"""`/v1/webhook-secret`: what a tenant checks its webhooks with."""

from litestar import Response

from agentflow_api.http.envelope import success
from agentflow_api.http.routing import get
from agentflow_api.wiring import Wiring
from agentflow_hosting.webhook_signatures import webhook_secret
from agentflow_tenancy import TENANT_ADMIN, Principal


@get("/v1/webhook-secret")
async def get_webhook_secret(principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The secret of the tenant's webhooks, the same each time; for no cache to keep."""
    principal.require(TENANT_ADMIN)
    answer = success({"secret": webhook_secret(wiring.settings.key_pepper, principal.tenant.tenant_id)})
    answer.headers["cache-control"] = "no-store"
    return answer
