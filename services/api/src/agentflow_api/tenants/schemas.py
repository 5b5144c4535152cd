"""Bodies of the operator's tenant routes."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from agentflow_api.keys.schemas import Name, Scopes

Retention = Annotated[StrictInt, Field(ge=1, le=36_500)]
Versions = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
Agents = Annotated[list[str], Field(max_length=200)]


class NewTenantBody(BaseModel):
    """A tenant to make, with its first key; `scopes` are that key's, all if not said."""

    model_config = ConfigDict(extra="forbid")

    slug: str
    name: Name = ""
    plan: str = "standard"
    limits: dict[str, Any] | None = None
    agents: Agents | None = None
    default_agent: str | None = None
    retention_days: Retention | None = None
    keep_checkpoints: Versions | None = None
    scopes: Scopes | None = None


class TenantChanges(BaseModel):
    """What to change; what is not there stays. `limits` replaces all of the tenant's own."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    plan: str | None = None
    limits: dict[str, Any] | None = None
    agents: Agents | None = None
    default_agent: str | None = None
    retention_days: Retention | None = None
    keep_checkpoints: Versions | None = None
