"""The spans of a run and of its parts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from agentflow.core.graph.budget import tokens_of
from agentflow.core.graph.model_tokens import begin_node, tell, untold
from agentflow.core.graph.span_messages import answered, asked
from agentflow.integrations.openai_answer import Answer, usages_of
from agentflow.storage.checkpointer.storage_spans import owner_of
from agentflow.utils import span_names as names
from agentflow.utils.spans import NO_SPAN, AnySpan, listening, open_span, short

if TYPE_CHECKING:
    from agentflow.core.graph.config import RunConfig
    from agentflow.core.graph.run import GraphRun
    from agentflow.core.graph.tool_ledger import Begun
    from agentflow.core.graph.updates import Update
    from agentflow.core.state.message import Message

# OpenTelemetry's own variable: without it no span holds a word of a conversation.
CAPTURE_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

# `true` is the older way to say it.
_CAPTURES: Final = frozenset({"true", "span_only", "span_and_event"})

# Whose run it is, for the spans of its tools and models: what each costs is asked by tenant and agent.
_whose: ContextVar[Mapping[str, str]] = ContextVar("agentflow_whose_run")
_NOBODYS: Final[Mapping[str, str]] = {}


def run_span(config: RunConfig, agent: str | None) -> AnySpan:
    """Of a whole run, the wait for its thread included. Call it in the run's own task."""
    if not listening():
        return NO_SPAN
    whose = owner_of(config.scope)
    if agent is not None:
        whose = {**whose, names.AGENT: agent}
    _whose.set(whose)
    return open_span(
        names.RUN_SPAN if agent is None else f"{names.RUN_SPAN} {agent}",
        {
            **whose,
            names.OPERATION: names.RUN_SPAN,
            names.CONVERSATION: config.thread_id,
            names.RUN: config.run_id,
        },
    )


class NotingEnd:
    """Around a run: how it ended, and what models said that it cost. A class, as `Blamed` is."""

    __slots__ = ("_run", "_span")

    def __init__(self, span: AnySpan, run: GraphRun[Any]) -> None:
        self._span = span
        self._run = run

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._span.recording:
            return
        failed = None if error is None else "error"
        _note_end(self._span, self._run, "cancelled" if isinstance(error, asyncio.CancelledError) else failed)


def _note_end(span: AnySpan, run: GraphRun[Any], failed: str | None) -> None:
    thread = run.thread
    status = failed or thread.state.execution_meta.status.value
    tokens_in, tokens_out = tokens_of(run.produced, ())
    span.note(
        {
            names.STATUS: status,
            names.STEPS: run.steps,
            names.CHECKPOINT: thread.head,
            names.THREAD_NO: thread.thread_no,
            names.TOKENS_IN: tokens_in,
            names.TOKENS_OUT: tokens_out,
        }
    )


def node_span(node: str, step: int) -> AnySpan:
    """Of one node in one step."""
    if not listening():
        return NO_SPAN
    begin_node()
    return open_span(f"{names.NODE_SPAN} {node}", {names.NODE: node, names.STEP: step})


def note_models(span: AnySpan, update: Update, before: Sequence[Message]) -> None:
    """Tokens of models that the node asked by itself, and whose they are."""
    if span.recording and (found := untold(update, before)) is not None:
        model, tokens_in, tokens_out = found
        span.note(
            {
                **_whose.get(_NOBODYS),
                names.MODEL: model,
                names.TOKENS_IN: tokens_in,
                names.TOKENS_OUT: tokens_out,
            }
        )


def tool_span(begun: Begun) -> AnySpan:
    """Of one tool that runs here."""
    if not listening():
        return NO_SPAN
    call = begun.call
    return open_span(
        f"{names.TOOL_SPAN} {call.name}",
        {
            **_whose.get(_NOBODYS),
            names.OPERATION: names.TOOL_SPAN,
            names.TOOL: call.name,
            names.TOOL_CALL: short(call.call_id),
            names.ATTEMPT: call.attempt,
        },
    )


def model_span(provider: str, model: str) -> AnySpan:
    """Of one question to a model."""
    if not listening():
        return NO_SPAN
    about = {names.OPERATION: names.MODEL_SPAN, names.PROVIDER: provider, names.MODEL: model}
    return open_span(f"{names.MODEL_SPAN} {model}", {**_whose.get(_NOBODYS), **about}, kind="CLIENT")


def note_request(span: AnySpan, request: Mapping[str, Any]) -> None:
    """What is asked, where whoever runs this wants to read it."""
    if span.recording and _captures_content():
        span.note({names.INPUT_MESSAGES: asked(request["messages"])})


def note_answer(span: AnySpan, answer: Answer | None, model: str) -> None:
    """What an answer of a model cost, and why it ended."""
    if not span.recording or answer is None:
        return
    if answer.finish_reason:
        span.note({names.FINISH_REASONS: [short(answer.finish_reason)]})
    if (used := usages_of(answer.usage)) is not None:
        span.note({names.TOKENS_IN: used.prompt_tokens, names.TOKENS_OUT: used.completion_tokens})
        tell(model, used)
    if _captures_content():
        span.note({names.OUTPUT_MESSAGES: answered(answer)})


def _captures_content() -> bool:
    return os.environ.get(CAPTURE_VARIABLE, "").lower() in _CAPTURES
