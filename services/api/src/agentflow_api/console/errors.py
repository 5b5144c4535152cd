"""What went wrong, as a page."""

from typing import Any, Final
from urllib.parse import quote

from litestar import Request, Response

from agentflow_api.console.backend import Answer, ApiRefusedError
from agentflow_api.console.pages import SIGN_IN, SignInError, html, redirect
from agentflow_api.console.rendering import render
from agentflow_api.console.session.cookies import given_session, is_secure
from agentflow_api.http.errors import answer_error
from agentflow_api.http.request_ids import request_id
from agentflow_api.wiring import Wiring

_TITLES: Final = {
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "Not possible now",
    410: "Gone",
    413: "Too much",
    422: "Something does not fit",
    429: "Limit reached",
    503: "Not available",
}


def show_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The same words as the API's answer, and what to do next."""
    if isinstance(error, SignInError) or (isinstance(error, ApiRefusedError) and error.status == 401):
        back = _asked_for(request) if request.method == "GET" else ""
        return redirect(f"{SIGN_IN}?to={quote(back)}" if back else SIGN_IN)
    if not isinstance(error, ApiRefusedError):
        error = _as_refusal(request, error)
    text = render(
        "error.html",
        status=error.status,
        title=_TITLES.get(error.status, "Something went wrong"),
        message=str(error),
        details=[str(detail.get("msg", "")) for detail in error.details if isinstance(detail, dict)],
        retry_after_s=error.retry_after_s,
        request_id=request_id(),
        is_form=request.method != "GET",
        form_token=_form_token(request),
    )
    return html(text, status=error.status)


def _asked_for(request: Request[Any, Any, Any]) -> str:
    """The address as it was written: an id may have a slash or a percent sign in it."""
    raw = (request.scope.get("raw_path") or b"").decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{raw}?{query}" if query else raw


def _form_token(request: Request[Any, Any, Any]) -> str:
    """Of the session that there is, whether or not it opens anything: for signing out."""
    wiring: Wiring = request.app.state["wiring"]
    secure = is_secure(request, https=wiring.settings.console_https)
    session = wiring.seal.read(given_session(request, secure=secure))
    return "" if session is None else wiring.seal.form_token(session)


def _as_refusal(request: Request[Any, Any, Any], error: Exception) -> ApiRefusedError:
    answered = answer_error(request, error)
    try:
        _ = Answer(answered.status_code or 500, answered.content).data
    except ApiRefusedError as refusal:
        return refusal
    return ApiRefusedError(500, "ERROR", "The service could not answer.", [])
