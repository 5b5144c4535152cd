"""`/console/sign-in` and `/console/sign-out`."""

from typing import Any, Final

import litestar
from litestar import Request, Response

from agentflow_api.console.pages import FORM_TOKEN, SIGN_IN, SignInError, form_of, html, redirect, signed_in
from agentflow_api.console.rendering import render
from agentflow_api.console.session.cookies import given_session, is_secure, session_cookie
from agentflow_api.http.credentials import is_operators
from agentflow_api.http.sessions import Session
from agentflow_api.wiring import Wiring
from agentflow_tenancy import CredentialError, ForbiddenError
from agentflow_tenancy.errors import TenantLeavingError, TenantSuspendedError
from agentflow_tenancy.token_reading import is_token

_WRONG: Final = "This opens nothing. Paste the operator's token, or an API key that is in use."
_CALLED: Final = "credential"


@litestar.get("/console", include_in_schema=False)
async def front(request: Request[Any, Any, Any], wiring: Wiring) -> Response[str]:
    """The first page of whoever is signed in."""
    session, _ = await signed_in(request, wiring.seal, wiring, secure=_secure(request, wiring))
    return redirect(home_of(session))


@litestar.get(SIGN_IN, include_in_schema=False)
async def sign_in_page(request: Request[Any, Any, Any], wiring: Wiring) -> Response[str]:
    """Where a credential is pasted."""
    try:
        session, _ = await signed_in(request, wiring.seal, wiring, secure=_secure(request, wiring))
    except SignInError:
        return _form("", request.query_params.get("to", ""), 200, wiring)
    except (TenantSuspendedError, TenantLeavingError) as error:
        return _form(str(error), "", 200, wiring)
    return redirect(home_of(session))


@litestar.post(SIGN_IN, include_in_schema=False, status_code=200)
async def sign_in(request: Request[Any, Any, Any], wiring: Wiring) -> Response[str]:
    """Take a credential, once: what stays in the browser is a session that names it."""
    form = await form_of(request, secure=_secure(request, wiring))
    given, to = form.get(_CALLED, "").strip(), form.get("to", "")
    address = "" if request.client is None else request.client.host
    if wait_s := wiring.attempts.wait_s(address):
        answer = _form(f"Too many wrong attempts from here: try again in {wait_s} seconds.", to, 429, wiring)
        answer.headers["retry-after"] = str(wait_s)
        return answer
    try:
        session = await _session(given, wiring)
    except (TenantSuspendedError, TenantLeavingError) as error:
        return _form(str(error), to, 403, wiring)
    except CredentialError:
        wiring.attempts.failed(address)
        return _form(_WRONG, to, 401, wiring)
    cookie = session_cookie(wiring.seal.cookie(session), secure=_secure(request, wiring))
    return redirect(to if _is_here(to) else home_of(session), [cookie])


@litestar.post("/console/sign-out", include_in_schema=False, status_code=200)
async def sign_out(request: Request[Any, Any, Any], wiring: Wiring) -> Response[str]:
    """Forget the session."""
    secure = _secure(request, wiring)
    form = await form_of(request, secure=secure)
    # Whoever it was, and whether or not that still holds.
    session = wiring.seal.read(given_session(request, secure=secure))
    if session is not None and not wiring.seal.is_form_token(session, form.get(FORM_TOKEN, "")):
        raise ForbiddenError("This form is of an earlier session; go back and load its page anew.")
    return redirect(SIGN_IN, [session_cookie("", secure=secure)])


def home_of(session: Session) -> str:
    """The first page of a session."""
    return "/console/tenants" if session.is_operator else "/console/home"


async def _session(given: str, wiring: Wiring) -> Session:
    if is_operators(given, wiring):
        return wiring.seal.begin(None, given)
    if is_token(given):
        raise CredentialError("A token ends within minutes; sign in with a key.")
    await wiring.role.require()
    principal = await wiring.authenticator.authenticate(given)
    wiring.key_uses.note(principal.key_id)
    return wiring.seal.begin(principal.key_id)


def _form(problem: str, to: str, status: int, wiring: Wiring) -> Response[str]:
    has_operator = wiring.settings.operator_token is not None
    text = render("sign_in.html", refused=problem, to=to if _is_here(to) else "", has_operator=has_operator)
    return html(text, status=status)


def _is_here(to: str) -> bool:
    """Of this console, and nothing that a browser would take for another host."""
    is_plain = to.isascii() and to.isprintable() and "\\" not in to and "//" not in to
    return is_plain and to.startswith("/console/")


def _secure(request: Request[Any, Any, Any], wiring: Wiring) -> bool:
    return is_secure(request, https=wiring.settings.console_https)
