"""Names of the spans that runs leave, and of what stands in them.

`gen_ai.*` and `error.type` are OpenTelemetry's semantic conventions for generative AI, `agentflow.*` ours. No
span holds what a message says, what a tool was given or answered, or the words of an error.
"""

from typing import Final

SCOPE: Final = "agentflow"

RUN_SPAN: Final = "invoke_agent"
NODE_SPAN: Final = "node"
TOOL_SPAN: Final = "execute_tool"
MODEL_SPAN: Final = "chat"

OPERATION: Final = "gen_ai.operation.name"
CONVERSATION: Final = "gen_ai.conversation.id"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TOKENS_IN: Final = "gen_ai.usage.input_tokens"
TOKENS_OUT: Final = "gen_ai.usage.output_tokens"
TOOL: Final = "gen_ai.tool.name"
TOOL_CALL: Final = "gen_ai.tool.call.id"
ERROR: Final = "error.type"

TENANT: Final = "agentflow.tenant_id"
THREAD: Final = "agentflow.thread_id"
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
