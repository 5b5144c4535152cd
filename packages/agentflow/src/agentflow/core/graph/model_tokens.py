"""Tokens of models that a node asked by itself, past `Agent`: they stand in the node's span, by model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Final

from agentflow.core.graph.budget import tokens_of
from agentflow.core.graph.updates import Update
from agentflow.core.state.message import Message, TokenUsages
from agentflow.utils.spans import short

SEVERAL: Final = "several"
UNKNOWN: Final = "unknown"
_NONE: Final = (0, 0)

# What spans of their own told of models below the node that runs, by model: tokens in and out.
_told: ContextVar[dict[str, tuple[int, int]]] = ContextVar("agentflow_told_tokens")


def begin_node() -> None:
    """Nothing is told below this node yet. Call it in the node's own task."""
    _told.set({})


def tell(model: str, used: TokenUsages) -> None:
    """A span of its own has these."""
    if (told := _told.get(None)) is not None:
        into, out = told.get(model, _NONE)
        told[model] = (into + used.prompt_tokens, out + used.completion_tokens)


def untold(update: Update, before: Sequence[Message]) -> tuple[str, int, int] | None:
    """What the node's new messages report beyond that: the model, tokens in and out; None for nothing.

    A message names its model in `metadata["model"]`, or in its provider's own answer, `raw["model"]`.

    Args:
        update: What the node returned.
        before: The context that it was given: an edited message was counted when it was new.
    """
    said = [message for message in _messages(update) if message.usages is not None]
    if not said:
        return None
    told = _told.get({})
    left = {}
    for model in {_model_of(message) for message in said}:
        into, out = tokens_of([message for message in said if _model_of(message) == model], before)
        known_in, known_out = told.get(model, _NONE)
        rest = max(0, into - known_in), max(0, out - known_out)
        if any(rest):
            left[model] = rest
    if not left:
        return None
    model = next(iter(left)) if len(left) == 1 else SEVERAL
    return model, sum(one[0] for one in left.values()), sum(one[1] for one in left.values())


def _messages(update: Update) -> Iterator[Message]:
    for part in (update.reduce, update.assign):
        found: Any = part.get("context")
        if found is None:
            continue
        for one in found if isinstance(found, list | tuple) else [found]:
            if isinstance(one, Message):
                yield one


def _model_of(message: Message) -> str:
    for place in (message.metadata, message.raw or {}):
        if isinstance(name := place.get("model"), str) and name:
            return short(name)
    return UNKNOWN
