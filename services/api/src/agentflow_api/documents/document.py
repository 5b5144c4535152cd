"""Everything that is said of the operations, in one document."""

from typing import Any, Final

from litestar import Litestar

from agentflow_api.audit.document import OPERATIONS as AUDIT
from agentflow_api.exports.document import OPERATIONS as EXPORTS
from agentflow_api.graph.document import OPERATIONS as GRAPH
from agentflow_api.health.document import OPERATIONS as HEALTH
from agentflow_api.history.document import OPERATIONS as HISTORY
from agentflow_api.http.document.build import document_of
from agentflow_api.http.document.described import Operations
from agentflow_api.keys.document import OPERATIONS as KEYS
from agentflow_api.observability.document import OPERATIONS as OBSERVED
from agentflow_api.offboarding.document import OPERATIONS as OFFBOARDING
from agentflow_api.operations.document import OPERATIONS as MOVES
from agentflow_api.retention.document import OPERATIONS as RETENTION
from agentflow_api.runs.document import OPERATIONS as RUNS
from agentflow_api.tenants.document import OPERATIONS as TENANTS
from agentflow_api.threads.document import OPERATIONS as THREADS
from agentflow_api.tokens.document import OPERATIONS as TOKENS
from agentflow_api.unavailable.document import OPERATIONS as UNAVAILABLE
from agentflow_api.usage.document import OPERATIONS as USAGE
from agentflow_api.webhooks.document import OPERATIONS as WEBHOOKS

_PARTS: Final = (AUDIT, EXPORTS, GRAPH, HEALTH, HISTORY, KEYS, MOVES, OBSERVED, OFFBOARDING)
_MORE_PARTS: Final = (RETENTION, RUNS, TENANTS, THREADS, TOKENS, UNAVAILABLE, USAGE, WEBHOOKS)
_OPERATIONS: Final[Operations] = {key: said for part in (*_PARTS, *_MORE_PARTS) for key, said in part.items()}
_TAGS: Final = {
    "agents": "What an agent looks like, and running it.",
    "threads": "Conversations: their attributes, states and messages.",
    "history": "What a thread was, and what comes of it.",
    "runs": "Runs as resources: in the background, followed, joined, cancelled.",
    "keys": "A tenant's own API keys.",
    "tokens": "Short-lived tokens, and issuers whose tokens are trusted.",
    "tenant": "The tenant itself: how long it keeps what it has.",
    "usage": "What a tenant used.",
    "audit": "What was changed, and by whom.",
    "offboarding": "Leaving with everything, forgetting a user, and the receipts.",
    "exports": "Threads as an archive: to take along, and to bring back.",
    "webhooks": "What webhooks are checked with.",
    "health": "Whether the service is up.",
    "operator: tenants": "For who runs the service: tenants.",
    "operator: keys": "Likewise: tenants' keys, and the service's signing keys.",
    "operator: usage": "Likewise: what all tenants used.",
    "operator: health": "Likewise: what answers, what waits, and what to do about what was found.",
    "operator: audit": "Likewise: every change.",
    "operator: moves": "Likewise: where tenants live.",
    "operator: offboarding": "Likewise: tenants that leave, and users who are forgotten.",
    "operator: exports": "Likewise: archives of tenants.",
    "not configured": "Known to clients; this deployment answers 503.",
}
_DESCRIPTION: Final = """Durable memory for AI agents.

Every answer is an envelope: `{"data", "metadata"}`, or `{"error", "metadata"}`. Streams are a JSON object
a line, or server-sent events. Each path also answers behind `/a/{agent}`, which chooses the agent."""
_INFO: Final[dict[str, Any]] = {
    "info": {"title": "AgentFlow Cloud", "version": "1", "description": _DESCRIPTION},
    "servers": [
        {"url": "/", "description": "The tenant's default agent."},
        {
            "url": "/a/{agent}",
            "description": "The agent of that name.",
            "variables": {"agent": {"default": "echo"}},
        },
    ],
    "tags": [{"name": name, "description": words} for name, words in _TAGS.items()],
}


def document(app: Litestar) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    return document_of(app, _OPERATIONS, info=_INFO)
