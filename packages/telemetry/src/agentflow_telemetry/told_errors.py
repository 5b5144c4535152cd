"""Errors as log lines may tell them: what happened and where, without words that may quote anybody.

An error's text is often what somebody else said: a message that a node could not read, the values of a row
that Postgres refused, a header field with a key in it. So it is left out, but for errors that are marked:
their class has `is_for_logs`, since their texts are written for whoever runs the service.
"""

from __future__ import annotations

import traceback
from typing import Any, Final

# Of a chain of causes, and of each one's frames, the innermost.
_MOST_CAUSES: Final = 8
_MOST_FRAMES: Final = 40


def words_of(error: BaseException) -> str:
    """Its text where that quotes nobody, else the name of its class."""
    name = type(error).__name__
    if getattr(error, "is_for_logs", False):
        return str(error) or name
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return name


def described(error: BaseException) -> dict[str, Any]:
    """Its `type`, `text` and `frames`, outermost first.

    What it was raised from is its `cause`, those that it holds are its `errors`: each described likewise.
    """
    return _described(error, _MOST_CAUSES)


def _described(error: BaseException, left: int) -> dict[str, Any]:
    kind = type(error)
    found: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}", "text": words_of(error)}
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    found["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    if not left:
        return found
    if isinstance(error, BaseExceptionGroup):
        found["errors"] = [_described(one, left - 1) for one in error.exceptions[:_MOST_CAUSES]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        found["cause"] = _described(cause, left - 1)
    return found
