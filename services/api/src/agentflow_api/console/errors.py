"""What went wrong, as a page."""

from typing import Any, Final
from urllib.parse import quote

from litestar import Request, Response

from agentflow_api.console.backend import Answer, ApiRefusedError
from agentflow_api.console.pages import SIGN_IN, SignInError, html, redirect
from agentflow_api.console.rendering import render
from agentflow_api.http.errors import answer_error
from agentflow_api.http.request_ids import request_id

_TITLES: Final = {
    403: "Not allowed",
    404: "Not found",
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
        back = request.url.path if request.method == "GET" else ""
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
    )
    return html(text, status=error.status)


def _as_refusal(request: Request[Any, Any, Any], error: Exception) -> ApiRefusedError:
    answered = answer_error(request, error)
    try:
        _ = Answer(answered.status_code or 500, answered.content).data
    except ApiRefusedError as refusal:
        return refusal
    return ApiRefusedError(500, "ERROR", "The service could not answer.", [])
