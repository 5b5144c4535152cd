"""Threads in exported spans: told apart, not named. Clients put in thread ids what they like."""

from __future__ import annotations

import hashlib

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from agentflow_telemetry import names


class HideThreads(SpanProcessor):
    """Puts a digest in the place of thread ids. Stands before what exports, behind who may see them."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """See there."""
        attributes = span.attributes
        if not attributes:
            return
        if names.CONVERSATION in attributes:
            named = str(attributes[names.CONVERSATION]).encode("utf-8", "replace")
            span.set_attribute(names.CONVERSATION, hashlib.blake2b(named, digest_size=8).hexdigest())
