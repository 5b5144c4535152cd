"""A log line as one JSON object."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry.trace import get_current_span

from agentflow_telemetry.told_errors import described, words_of

Fields = Mapping[str, Callable[[], str | None]]

# Says in its lines what callbacks were given and tasks ended with.
_ASYNCIO: Final = "asyncio"
_TRACEBACK: Final = "Traceback (most recent call last)"


class JsonLines(logging.Formatter):
    """`time`, `level`, `logger`, `message`, `process`; `trace_id` and `span_id` of the span that is open.

    `error` is what is logged with `exc_info`. Errors are told as `told_errors` has it, also those that are
    arguments of a message.
    """

    def __init__(self, fields: Fields) -> None:
        """Format from now on.

        Args:
            fields: More of them: what each is where the line is written, or None.
        """
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """See there. Whatever is wrong with a record, it is told."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "process": record.process,
        }
        span = get_current_span().get_span_context()
        if span.is_valid:
            line |= {"trace_id": format(span.trace_id, "032x"), "span_id": format(span.span_id, "016x")}
        line |= {name: value for name, asked in self._fields.items() if (value := asked()) is not None}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = described(record.exc_info[1])
        return json.dumps(line, default=str)


def _message(record: logging.LogRecord) -> str:
    args: Any = record.args
    if isinstance(args, tuple):
        args = tuple(map(_told, args))
    elif isinstance(args, Mapping):
        args = {name: _told(value) for name, value in args.items()}
    try:
        text = str(record.msg) % args if args else str(_told(record.msg))
    except (TypeError, ValueError, KeyError):  # an argument too many or too few
        text = str(record.msg)
    if record.name == _ASYNCIO:
        return text.partition("\n")[0].partition("(")[0]
    return _places_of(text) if _TRACEBACK in text else text


def _places_of(text: str) -> str:
    """Of a traceback that somebody wrote into a message, as the server does of one at its start."""
    return "\n".join(line for line in text.splitlines() if line.startswith((_TRACEBACK, "  File ")))


def _told(value: object) -> object:
    return words_of(value) if isinstance(value, BaseException) else value
