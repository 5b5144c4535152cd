"""Spans of the statements that go through SQLAlchemy, beside those that go to the driver itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.storage_spans import statement_span

# Where an execution keeps its span.
_KEPT: Final = "_agentflow_span"
# Says whose rows the next statement may see: it goes before each, and changes nothing.
_SHOWS: Final = "set_config("


def tell_statements(engine: AsyncEngine) -> None:
    """Tell of every statement of an engine from now on, where its trace leaves the process.

    Cost: 3 us a statement where none does.
    """
    sync = engine.sync_engine
    event.listen(sync, "before_cursor_execute", _begins)
    event.listen(sync, "after_cursor_execute", _ended)
    event.listen(sync, "handle_error", _failed)


def _begins(
    _connection: object,
    _cursor: object,
    statement: str,
    parameters: Sequence[Any],
    context: Any,
    executemany: bool,
) -> None:
    if _SHOWS not in statement:
        span = statement_span(statement, batch=len(parameters) if executemany else 1)
        if span.recording:
            setattr(context, _KEPT, span)


def _ended(
    _connection: object, _cursor: object, _statement: str, _given: object, context: Any, *_: Any
) -> None:
    span = getattr(context, _KEPT, None)
    if span is not None:
        delattr(context, _KEPT)
        span.end()


def _failed(context: ExceptionContext) -> None:
    execution = context.execution_context
    span = getattr(execution, _KEPT, None)
    if span is not None:
        delattr(execution, _KEPT)
        span.end(context.original_exception)
