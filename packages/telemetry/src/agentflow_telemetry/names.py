"""Names of spans and attributes: one list, so that dashboards and code agree."""

from typing import Final

# Of requests' spans, and of storage's, as the library knows them, too.
REQUESTS_SCOPE: Final = "agentflow.http"
STORAGE_SCOPE: Final = "agentflow.storage"

# OpenTelemetry's own conventions for HTTP servers.
METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
ROUTE: Final = "http.route"
SCHEME: Final = "url.scheme"
ERROR: Final = "error.type"

# And for generative AI.
AGENT: Final = "gen_ai.agent.name"
MODEL: Final = "gen_ai.request.model"
TOOL: Final = "gen_ai.tool.name"
TOKENS_IN: Final = "gen_ai.usage.input_tokens"
TOKENS_OUT: Final = "gen_ai.usage.output_tokens"

# Ours.
TENANT: Final = "agentflow.tenant.id"
PLACEMENT: Final = "agentflow.placement"
CACHE_RESULT: Final = "agentflow.cache.result"
LOCK_OUTCOME: Final = "agentflow.lock.outcome"
QUOTA: Final = "agentflow.quota.name"
QUOTA_DECISION: Final = "agentflow.quota.decision"

# As the library names it in the spans of runs (`agentflow.utils.span_names`).
CONVERSATION: Final = "gen_ai.conversation.id"
