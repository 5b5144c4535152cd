"""Names of the spans that runs and storage leave, and of what stands in them.

`gen_ai.*`, `db.*`, `http.*` and `error.type` are OpenTelemetry's semantic conventions, `agentflow.*` ours. No
span holds what a message says, what a tool was given or answered, or the words of an error.
"""

from typing import Final

SCOPE: Final = "agentflow"
# What storage, locks and quotas do: apart, so that who is told of a run's steps need not look at them.
STORAGE_SCOPE: Final = "agentflow.storage"
# A service's requests, which stand above runs.
REQUESTS_SCOPE: Final = "agentflow.http"

RUN_SPAN: Final = "invoke_agent"
NODE_SPAN: Final = "node"
TOOL_SPAN: Final = "execute_tool"
MODEL_SPAN: Final = "chat"

PUT_SPAN: Final = "checkpoint.put"
GET_SPAN: Final = "checkpoint.get"
LIST_SPAN: Final = "checkpoint.list"
LOCK_SPAN: Final = "thread.lock.acquire"
QUOTA_SPAN: Final = "quota.check"
PROMOTE_SPAN: Final = "tenant.promote"
OFFBOARD_SPAN: Final = "tenant.offboard"
WEBHOOK_SPAN: Final = "POST"

OPERATION: Final = "gen_ai.operation.name"
AGENT: Final = "gen_ai.agent.name"
CONVERSATION: Final = "gen_ai.conversation.id"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TOKENS_IN: Final = "gen_ai.usage.input_tokens"
TOKENS_OUT: Final = "gen_ai.usage.output_tokens"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL: Final = "gen_ai.tool.name"
TOOL_CALL: Final = "gen_ai.tool.call.id"
ERROR: Final = "error.type"
DB_SYSTEM: Final = "db.system.name"
DB_OPERATION: Final = "db.operation.name"
DB_TABLE: Final = "db.collection.name"
DB_BATCH: Final = "db.operation.batch.size"
HTTP_METHOD: Final = "http.request.method"
HTTP_STATUS: Final = "http.response.status_code"

TENANT: Final = "agentflow.tenant.id"
PLACEMENT: Final = "agentflow.placement"
CACHE: Final = "agentflow.cache.result"
BYTES: Final = "agentflow.checkpoint.bytes"
LOCK: Final = "agentflow.lock.outcome"
QUOTA: Final = "agentflow.quota.name"
DECISION: Final = "agentflow.quota.decision"
THREAD_NO: Final = "agentflow.thread_no"
RUN: Final = "agentflow.run_id"
STATUS: Final = "agentflow.status"
STEPS: Final = "agentflow.steps"
NODE: Final = "agentflow.node"
STEP: Final = "agentflow.step"
ATTEMPT: Final = "agentflow.tool.attempt"
CHECKPOINT: Final = "agentflow.checkpoint"
SOURCE: Final = "agentflow.source"

# An event of the run's span for each version of the thread that the run made.
CHECKPOINT_EVENT: Final = "checkpoint"
