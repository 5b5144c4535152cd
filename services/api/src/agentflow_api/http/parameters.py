"""Path and query parameters, checked."""

from typing import Any, Final

from litestar import Request

from agentflow_api.http.problems import InvalidParameterError

MAX_PAGE: Final = 1000
DEFAULT_PAGE: Final = 100

_MAX_ID_BYTES: Final = 255
_MAX_OFFSET: Final = 2**31 - 1
_MAX_SEARCH: Final = 1000


def thread_id(value: str) -> str:
    """A public thread id: stored byte for byte, so refused when a path could not carry it.

    Raises:
        InvalidParameterError: Blank, over 255 bytes, a control character, one of `/ ? #`, `.` or `..`.
    """
    if (problem := id_problem(value)) is not None:
        raise invalid("thread_id", problem)
    return value


def id_problem(value: str) -> str | None:
    """Why a path could not carry an id that a client chose; None if it can."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "must be UTF-8"
    if not value.strip():
        return "cannot be blank"
    if size > _MAX_ID_BYTES:
        return f"has at most {_MAX_ID_BYTES} bytes"
    if any(
        character in "/?#" or (not character.isprintable() and character.isascii()) for character in value
    ):
        return "cannot hold control characters or any of / ? #"
    if value in (".", "..") or "\ufffd" in value:
        return "cannot be a path step or hold bytes that are no UTF-8"
    return None


def page(request: Request[Any, Any, Any]) -> tuple[str | None, int, int]:
    """`search`, `offset` and `limit` of a listing.

    Raises:
        InvalidParameterError: Not a number, or outside 0.. and 1..1000.
    """
    search = request.query_params.get("search") or None
    if search is not None and (len(search) > _MAX_SEARCH or "\0" in search):
        raise invalid("search", f"has at most {_MAX_SEARCH} characters and no NUL")
    offset = _number(request, "offset", 0, least=0, most=_MAX_OFFSET)
    limit = _number(request, "limit", DEFAULT_PAGE, least=1, most=MAX_PAGE)
    return search, offset, limit


def whole(request: Request[Any, Any, Any], name: str) -> int | None:
    """A whole number from 0 on, if the query has it.

    Raises:
        InvalidParameterError: It is none.
    """
    if request.query_params.get(name) is None:
        return None
    return _number(request, name, 0, least=0, most=_MAX_OFFSET)


def whole_between(request: Request[Any, Any, Any], name: str, least: int, most: int) -> int | None:
    """A whole number, if the query has it.

    Raises:
        InvalidParameterError: It is none, or outside of the bounds.
    """
    if request.query_params.get(name) is None:
        return None
    return _number(request, name, least, least=least, most=most)


def _number(request: Request[Any, Any, Any], name: str, default: int, *, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and least <= int(text) <= most):
        raise invalid(name, f"must be a whole number from {least} to {most}")
    return int(text)


def invalid(name: str, problem: str) -> InvalidParameterError:
    """The error for a parameter."""
    detail = {"loc": [name], "msg": f"{name} {problem}", "type": "value_error"}
    return InvalidParameterError(f"{name} {problem}.", [detail])
