"""Names of spans and attributes: one list, so that dashboards and code agree."""

from typing import Final

# OpenTelemetry's own conventions for HTTP servers.
METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
ROUTE: Final = "http.route"

# Ours.
AGENT: Final = "agentflow.agent"
MODE: Final = "agentflow.mode"

DEGRADED: Final = "agentflow.degraded"

REQUEST_SPAN: Final = "{method} {route}"

# As the library names them in the spans of runs (`agentflow.utils.span_names`).
THREAD: Final = "agentflow.thread_id"
CONVERSATION: Final = "gen_ai.conversation.id"
