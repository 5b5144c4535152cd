"""A client of the HTTP API: `AgentFlowClient` blocks, `AsyncAgentFlowClient` is awaited; both do the same."""

from __future__ import annotations

try:
    from agentflow.client.awaiting import AsyncAgentFlowClient
    from agentflow.client.blocking import AgentFlowClient
except ModuleNotFoundError as error:
    raise ImportError(
        f'agentflow.client needs the module {error.name!r}: pip install "agentflow[client]" brings it.'
    ) from error

from agentflow.client.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ClientError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    RateLimitedError,
    RunFailedError,
    ServerError,
    TimedOutError,
    TooLargeError,
    TooManyRoundsError,
    UnavailableError,
    UnreadableAnswerError,
    ValidationError,
)
from agentflow.client.models import (
    Checkpoint,
    Chunk,
    DeletedThreads,
    Done,
    ExecutionMeta,
    Fixed,
    Forked,
    Graph,
    GraphTools,
    ImportResult,
    InvokeResult,
    Observability,
    ObservedRun,
    Run,
    RunResult,
    Span,
    SpanEvent,
    Stopped,
    Thread,
    ThreadState,
    TokenUsage,
)
from agentflow.client.retries import RetryPolicy

__all__ = [
    "AgentFlowClient",
    "ApiError",
    "AsyncAgentFlowClient",
    "AuthenticationError",
    "BadRequestError",
    "Checkpoint",
    "Chunk",
    "ClientClosedError",
    "ClientError",
    "ConflictError",
    "ConnectionFailedError",
    "DeletedThreads",
    "Done",
    "ExecutionMeta",
    "Fixed",
    "ForbiddenError",
    "Forked",
    "GoneError",
    "Graph",
    "GraphTools",
    "ImportResult",
    "InvokeResult",
    "NotFoundError",
    "Observability",
    "ObservedRun",
    "RateLimitedError",
    "RetryPolicy",
    "Run",
    "RunFailedError",
    "RunResult",
    "ServerError",
    "Span",
    "SpanEvent",
    "Stopped",
    "Thread",
    "ThreadState",
    "TimedOutError",
    "TokenUsage",
    "TooLargeError",
    "TooManyRoundsError",
    "UnavailableError",
    "UnreadableAnswerError",
    "ValidationError",
]
