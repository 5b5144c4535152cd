"""Whose a request is and which agent it names, for its span."""

from agentflow.storage.checkpointer.storage_spans import owner_attributes
from agentflow.utils import span_names as names
from agentflow.utils.spans import note_current
from agentflow_tenancy import Principal


def note_principal(principal: Principal) -> None:
    """Tenant and placement, of the credential: nothing that a request says of itself names a tenant."""
    note_current(owner_attributes(principal.tenant.tenant_id, principal.tenant.placement))


def note_agent(name: str) -> None:
    """One that was found: what a path names otherwise is a client's own word."""
    note_current({names.AGENT: name})
