"""All of the operator's pages."""

from typing import Any, Final

from agentflow_api.console.operator.audit import AUDIT_PAGES
from agentflow_api.console.operator.health import HEALTH_PAGES
from agentflow_api.console.operator.keys import KEY_PAGES
from agentflow_api.console.operator.offboarding import OFFBOARDING_PAGES
from agentflow_api.console.operator.placement import PLACEMENT_PAGES
from agentflow_api.console.operator.receipts import RECEIPT_PAGES
from agentflow_api.console.operator.tenants import TENANT_PAGES

OPERATORS_PAGES: Final[list[Any]] = [
    *TENANT_PAGES,
    *KEY_PAGES,
    *PLACEMENT_PAGES,
    *OFFBOARDING_PAGES,
    *RECEIPT_PAGES,
    *HEALTH_PAGES,
    *AUDIT_PAGES,
]
