"""What the service answers with. What a newer service adds is kept, as further attributes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from agentflow.core.state.blocks import RemoteToolCallBlock, Value
from agentflow.core.state.message import Message

# Words that a newer service may have more of are plain text.


class ExecutionMeta(Value):
    """Where a thread's run stands.

    `status` is running, completed, error, interrupted_before or interrupted_after.
    """

    status: str
    current_node: str | None = None
    step: int = 0
    thread_id: str | None = None
    interrupted_node: str | None = None
    interrupt_reason: str | None = None
    interrupt_data: Any = None
    stop_current_execution: str = "none"
    internal_data: dict[str, Any] = Field(default_factory=dict)


class ThreadState(Value):
    """A thread's state. The agent's own fields are attributes too, and in `custom`."""

    context: list[Message] = Field(default_factory=list)
    context_summary: str | None = None
    execution_meta: ExecutionMeta | None = None

    @property
    def custom(self) -> dict[str, Any]:
        """The agent's own fields by name."""
        return dict(self.model_extra or {})


class InvokeMeta(Value):
    """Which thread an invoke was on."""

    is_new_thread: bool
    thread_id: str


class InvokeResult(Value):
    """What a run came to. `messages` are this run's; granularity decides about `state` and `context`."""

    messages: list[Message]
    state: ThreadState | None = None
    context: list[Message] | None = None
    summary: str | None = None
    meta: InvokeMeta

    @property
    def thread_id(self) -> str:
        """The thread, also when the service chose it."""
        return self.meta.thread_id

    def text(self) -> str:
        """The text of the last message."""
        return self.messages[-1].text() if self.messages else ""

    def open_calls(self) -> list[RemoteToolCallBlock]:
        """The tools that the agent asks its client to run, those without a result."""
        answered = {result.call_id for message in self.messages for result in message.tool_results()}
        calls = [call for message in self.messages for call in message.remote_tool_calls()]
        return [call for call in calls if call.id not in answered]


class Chunk(Value):
    """A piece of a run as it happens.

    `event` is message, updates, state or error; a message with `delta` is part of one still being made.
    `seq` counts the run's chunks from 0.
    """

    event: str
    message: Message | None = None
    state: ThreadState | None = None
    data: dict[str, Any] | None = None
    thread_id: str | None = None
    run_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    timestamp: float | None = None
    seq: int | None = None


class RunProblem(Value):
    """Why a run failed."""

    code: str
    message: str


class Run(Value):
    """A run as a resource. `status` is pending, running, success, error, interrupted or cancelled."""

    run_id: str
    thread_id: str
    agent: str
    kind: str
    status: str
    strategy: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    chunks: int = 0
    error: RunProblem | None = None
    cancel: str | None = None
    webhook: str | None = None

    @property
    def is_over(self) -> bool:
        """Nothing more comes of it."""
        return self.finished_at is not None


class RunResult(Value):
    """A run that is over, and what it came to; None when it wrote nothing."""

    run: Run
    result: InvokeResult | None = None


class TokenUsage(Value):
    """Tokens of a run's model calls."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


class SpanEvent(Value):
    """Something that happened at one moment of a run."""

    name: str
    at: datetime
    attributes: dict[str, Any] = Field(default_factory=dict)


class Span(Value):
    """A part of a run: the run itself, a node, a tool or a model call. `status` is ok or error."""

    span_id: str
    parent_span_id: str | None = None
    trace_id: str | None = None
    name: str
    started_at: datetime
    finished_at: datetime
    duration_ms: float
    status: str = "ok"
    attributes: dict[str, Any] = Field(default_factory=dict)


class ObservedRun(Value):
    """What a run did. Without `spans` and with None for `usage` when only its checkpoints are known."""

    run_id: str
    thread_id: str
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: float | None = None
    spans: list[Span] = Field(default_factory=list)
    events: list[SpanEvent] = Field(default_factory=list)
    usage: TokenUsage | None = None
    llm_calls: int | None = None
    tool_calls: int | None = None
    iterations: int | None = None


class Observability(Value):
    """A thread's runs, newest first, and what one of them did; None if there is no such one."""

    thread_id: str
    run_count: int
    run_ids: list[str]
    run: ObservedRun | None = None


class Thread(Value):
    """A thread without its contents."""

    thread_id: str
    thread_name: str | None = None
    user_id: str | None = None
    metadata: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    run_id: str | None = None
    status: str | None = None
    interrupts: list[dict[str, Any]] | None = None


class Checkpoint(Value):
    """A version of a thread, without its contents."""

    seq: int
    node: str | None = None
    step: int | None = None
    source: str | None = None
    parent: int | None = None
    run_id: str | None = None
    created_at: datetime | None = None


class Forked(Value):
    """A thread that was made of another, or of itself, and its latest checkpoint."""

    thread_id: str
    checkpoint: int


class DeletedThreads(Value):
    """What a deletion by filter found: the first ids, and `more` when its limit was reached."""

    dry_run: bool
    count: int
    deleted: int = 0
    thread_ids: list[str] = Field(default_factory=list)
    more: bool = False


class Done(Value):
    """What the service says of something it did."""

    success: bool = True
    message: str = ""
    data: Any = None


class ImportResult(Value):
    """What became of an upload.

    Attributes:
        lines: Messages that were dealt with.
        added: Those that joined the thread.
        skipped: Those whose ids it had already.
    """

    thread_id: str
    lines: int
    added: int
    skipped: int


class Stopped(Value):
    """Whether a run was told to stop."""

    success: bool
    message: str = ""
    thread_id: str | None = None
    stopped_at: Any = None
    ok: bool | None = None
    running: bool | None = None
    reason: str | None = None


class Fixed(Value):
    """What was dropped of interrupted tool calls."""

    success: bool
    message: str = ""
    removed_count: int = 0
    state: ThreadState | None = None


class GraphNode(Value):
    """A node."""

    id: str
    name: str


class GraphEdge(Value):
    """An edge."""

    id: str
    source: str
    target: str


class GraphInfo(Value):
    """What kind of graph it is."""

    node_count: int
    edge_count: int
    state_type: str | None = None
    state_fields: list[str] = Field(default_factory=list)
    interrupt_before: list[str] = Field(default_factory=list)
    interrupt_after: list[str] = Field(default_factory=list)


class Graph(Value):
    """The agent's shape, `__start__` and `__end__` included."""

    info: GraphInfo
    nodes: list[GraphNode]
    edges: list[GraphEdge]


class ToolInfo(Value):
    """A tool; `source` is local, mcp or remote, `parameters` a JSON schema."""

    name: str
    description: str | None = None
    source: str | None = None
    parameters: dict[str, Any] | None = None


class NodeTools(Value):
    """The tools of a node."""

    node_name: str
    tool_count: int = 0
    tools: list[ToolInfo] = Field(default_factory=list)


class GraphTools(Value):
    """The tools of every node."""

    node_count: int = 0
    tool_count: int = 0
    nodes: list[NodeTools] = Field(default_factory=list)
