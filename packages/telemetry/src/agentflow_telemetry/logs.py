"""Log lines: JSON, one object a line, to stderr."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from agentflow_telemetry.log_lines import JsonLines

logger = logging.getLogger("agentflow")

# Their own lines for each request would have addresses in them. The clients of models use the second.
_CLIENTS: Final = ("httpx", "httpx2")


def configure_logging(**fields: Callable[[], str | None]) -> None:
    """Log to stderr at AGENTFLOW_LOG_LEVEL (INFO if not set), what ends the process or a thread included.

    Lines finer than INFO are our own alone: libraries' quote what they send and get.

    Args:
        fields: By name, what else stands in a line; None where it does not.
    """
    level = logging.getLevelNamesMapping().get(
        os.environ.get("AGENTFLOW_LOG_LEVEL", "INFO").upper(), logging.INFO
    )
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(fields))
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    logger.setLevel(level)
    for client in _CLIENTS:
        logging.getLogger(client).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_the_end
    threading.excepthook = _log_a_threads_end


def _log_the_end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Of the process, by an error that nobody expected."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        logger.critical("The process ends.", exc_info=(kind, error, traceback))


def _log_a_threads_end(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = "a thread" if ended.thread is None else ended.thread.name
        logger.critical("The thread %s ends.", name, exc_info=ended.exc_value)
