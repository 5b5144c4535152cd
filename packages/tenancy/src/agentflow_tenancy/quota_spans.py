"""The spans of quotas: what was asked, what was decided, and for whom."""

from __future__ import annotations

from agentflow.storage.checkpointer.storage_spans import owner_attributes
from agentflow.utils import span_names as names
from agentflow.utils.spans import NO_SPAN, AnySpan, listening, open_leaf
from agentflow_tenancy.quotas import Decision
from agentflow_tenancy.tenants import Tenant


def quota_span(tenant: Tenant) -> AnySpan:
    """Of one question to the quotas. A refusal is an answer, and no error of the question."""
    if not listening():
        return NO_SPAN
    return open_leaf(names.QUOTA_SPAN, owner_attributes(tenant.tenant_id, tenant.placement))


def note_decision(span: AnySpan, decision: Decision, *, asked: str, is_unchecked: bool) -> None:
    """What came of it.

    Args:
        span: Of the question.
        decision: The answer.
        asked: The quota that is named when none refused.
        is_unchecked: Nobody knows what others spent: it was let in on trust.
    """
    if span.recording:
        allowed = "unchecked" if is_unchecked else "allowed"
        said = allowed if decision.allowed else "rejected"
        span.note({names.QUOTA: decision.quota or asked, names.DECISION: said})


def note_refusal(tenant: Tenant, quota: str) -> None:
    """A refusal without a question: of what is known to be used up, or is not counted in Redis."""
    with quota_span(tenant) as span:
        note_decision(span, Decision(False, quota), asked=quota, is_unchecked=False)
