"""Names of spans and attributes: one list, so that dashboards and code agree."""

from typing import Final

# OpenTelemetry's own conventions for HTTP servers.
METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
ROUTE: Final = "http.route"
SCHEME: Final = "url.scheme"
ERROR: Final = "error.type"

# Ours.
MODE: Final = "agentflow.mode"

DEGRADED: Final = "agentflow.degraded"

RETENTION_THREADS: Final = "agentflow.retention.deleted_threads"
RETENTION_VERSIONS: Final = "agentflow.retention.deleted_versions"
RETENTION_KEPT: Final = "agentflow.retention.kept_threads"
RETENTION_PRUNED: Final = "agentflow.retention.pruned_threads"
RETENTION_SECONDS: Final = "agentflow.retention.sweep_duration"

# As the library names it in the spans of runs (`agentflow.utils.span_names`).
CONVERSATION: Final = "gen_ai.conversation.id"
