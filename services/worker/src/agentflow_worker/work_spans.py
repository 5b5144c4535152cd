"""The spans of work on a whole tenant: the work, and each of its steps."""

from typing import Final
from uuid import UUID

from agentflow.utils import span_names as names
from agentflow.utils.spans import NO_SPAN, AnySpan, listening, open_span

_KIND: Final = "agentflow.kind"


def work_span(name: str, tenant_id: UUID, kind: str) -> AnySpan:
    """Of one go at it: from where it stood to its end, or to where somebody else goes on."""
    return open_span(name, {names.TENANT: str(tenant_id), _KIND: kind}) if listening() else NO_SPAN


def step_span(name: str, step: str) -> AnySpan:
    """Of one step of it."""
    return open_span(f"{name}.step", {names.STEP: step}) if listening() else NO_SPAN
