"""Where a page begins: opaque to clients, and harmless when made up."""

import base64
import binascii
import re
from typing import Any, Final

from litestar import Request

from agentflow_api.http.problems import InvalidParameterError

_WORD: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


def cursor_after(last: str) -> str:
    """The cursor of the page behind an entry."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def asked_cursor(request: Request[Any, Any, Any]) -> str:
    """What the page asked for begins behind; "" for the first.

    Raises:
        InvalidParameterError: It is none that this service gave.
    """
    text = request.query_params.get("cursor") or ""
    if not text:
        return ""
    try:
        if len(text) > 100 or not text.isascii():
            raise ValueError
        word = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        raise _invalid() from None
    if not _WORD.fullmatch(word):
        raise _invalid()
    return word


def _invalid() -> InvalidParameterError:
    detail = {"loc": ["cursor"], "msg": "cursor is not one of this service", "type": "value_error"}
    return InvalidParameterError("cursor is not one that this service gave.", [detail])
