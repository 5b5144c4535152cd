"""The spans of webhooks: that somebody was told, and what was answered; never where."""

from __future__ import annotations

from agentflow.storage.checkpointer.storage_spans import owner_attributes
from agentflow.utils import span_names as names
from agentflow.utils.spans import NO_SPAN, AnySpan, listening, open_span
from agentflow_hosting.webhook_sender import Answer
from agentflow_tenancy import Tenant


def webhook_span(tenant: Tenant) -> AnySpan:
    """Of one attempt to tell an address that a run is over."""
    if not listening():
        return NO_SPAN
    said = {**owner_attributes(tenant.tenant_id, tenant.placement), names.HTTP_METHOD: "POST"}
    return open_span(names.WEBHOOK_SPAN, said, kind="CLIENT")


def note_delivery(span: AnySpan, answer: Answer) -> None:
    """What came of it."""
    if answer.status is not None:
        span.note({names.HTTP_STATUS: answer.status})
    if answer.error is not None:
        span.fail("no_answer" if answer.status is None else str(answer.status))
