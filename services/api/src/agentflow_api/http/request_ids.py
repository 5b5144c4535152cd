"""One id for a request: in its answer, in the log, and in the audit log."""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

from agentflow.utils.random_ids import random_hex

_WORD: Final = re.compile(rb"[\w.:-]{1,128}", re.ASCII)
_CURRENT: Final[ContextVar[str | None]] = ContextVar("agentflow_request_id", default=None)


def begin_request(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """A request begins: its id is the client's `x-request-id`, if that is a plain word, or a new one."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    _CURRENT.set(given.decode() if _WORD.fullmatch(given) else random_hex())


def current_request_id() -> str | None:
    """The id of the request that is being answered; None where there is none."""
    return _CURRENT.get()


def request_id() -> str:
    """The id of the request that is being answered."""
    return _CURRENT.get() or random_hex()
