"""Cookies as the console sends and reads them."""

from typing import Any, Final
from urllib.parse import quote, unquote

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from agentflow_api.console.session.seal import LONGEST_S

_SESSION: Final = "agentflow_console"
_SAID: Final = "agentflow_said"
# Browsers take a cookie of this name from the very host and by https only.
_HOST: Final = "__Host-"
_SAID_FOR_S: Final = 60


def is_secure(connection: ASGIConnection[Any, Any, Any, Any], *, https: bool) -> bool:
    """Whether the browser came by https, or a proxy in front is known to be asked so."""
    return https or connection.scope["scheme"] == "https"


def session_cookie(value: str, *, secure: bool) -> Cookie:
    """The session's; an empty value ends it."""
    return _cookie(_SESSION, value, LONGEST_S if value else 0, secure=secure)


def said_cookie(text: str, *, secure: bool) -> Cookie:
    """What the next page says once."""
    return _cookie(_SAID, quote(text), _SAID_FOR_S if text else 0, secure=secure)


def given_session(connection: ASGIConnection[Any, Any, Any, Any], *, secure: bool) -> str:
    """The value of the session's cookie, or nothing."""
    return _given(connection, _SESSION, secure=secure)


def given_said(connection: ASGIConnection[Any, Any, Any, Any], *, secure: bool) -> str:
    """What is to be said once, or nothing."""
    return unquote(_given(connection, _SAID, secure=secure))


def _given(connection: ASGIConnection[Any, Any, Any, Any], name: str, *, secure: bool) -> str:
    wanted = f"{_HOST}{name}" if secure else name
    # By hand: the standard library's reader gives up at the first cookie that others wrote in their own way.
    for field, value in connection.scope["headers"]:
        if field.lower() != b"cookie":
            continue
        for pair in value.decode("latin-1").split(";"):
            given, _, content = pair.strip().partition("=")
            if given == wanted:
                return content
    return ""


def _cookie(name: str, value: str, seconds: int, *, secure: bool) -> Cookie:
    return Cookie(
        f"{_HOST}{name}" if secure else name,
        value=value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="strict",
        secure=secure,
    )
