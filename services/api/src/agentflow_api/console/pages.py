"""What a page is made with: who looks at it, the API as they may use it, and how it is shown.

A page's function takes a `Page`, then the path's parameters by name:

    @shown("/console/tenants", OPERATOR)
    async def tenants(page: Page) -> Response[str]:
        return page.show("operator/tenants.html", tenants=await page.api.get("/v1/admin/tenants"))

    @done("/console/tenants/{named:str}/suspend", OPERATOR, form=tenant)
    async def suspend(page: Page, named: str) -> Response[str]:
        await page.api.send("POST", at("/v1/admin/tenants", named, "suspend"))
        return page.go(f"/console/tenants/{named}", "Suspended: its keys open nothing any more.")

A function that the API refuses (`ApiRefusedError`) need not catch that: the page of its `form` is shown
again, with what was typed and what is wrong with it; without one the reader is told on a page of its own.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, quote

import litestar
from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler

from agentflow_api.console.backend import ApiRefusedError, Backend
from agentflow_api.console.refusals import Refusal, is_correctable, refusal_of
from agentflow_api.console.rendering import render
from agentflow_api.console.session.cookies import (
    given_said,
    given_session,
    is_secure,
    said_cookie,
    session_cookie,
)
from agentflow_api.console.session.origins import is_own_page
from agentflow_api.console.session.seal import Seal
from agentflow_api.http.body import read_bytes
from agentflow_api.http.problems import InvalidBodyError
from agentflow_api.http.sessions import Session
from agentflow_api.wiring import Wiring
from agentflow_tenancy import CredentialError, ForbiddenError, Principal

OPERATOR: Final = "operator"
TENANT: Final = "tenant"
Who = Literal["operator", "tenant"]

SIGN_IN: Final = "/console/sign-in"
FORM_TOKEN: Final = "form_token"  # noqa: S105  # a field's name
_MAX_FORM_BYTES: Final = 256 * 1024
_MOST_FIELDS: Final = 200

type Handler = Callable[..., Awaitable[Response[Any]]]
# Of what answers a request, the page behind it.
_HANDLERS: Final[dict[Any, Handler]] = {}


class SignInError(Exception):
    """Nobody is signed in, or not any more."""


def at(*steps: str) -> str:
    """A path of the API; each step after the first is one, whatever is in it.

    Raises:
        ForbiddenError: One has a slash, or nothing, in it: it would be another path.
    """
    first, *ids = steps
    for step in ids:
        if not step or "/" in step or step in (".", ".."):
            raise ForbiddenError("This is no name of anything.")
    return "/".join([first, *ids])


def link(*steps: str) -> str:
    """A path of the console, with ids as a URL writes them."""
    first, *ids = steps
    return "/".join([first, *(quote(step, safe="") for step in ids)])


@dataclass(slots=True)
class Page:
    """One look at a page.

    Attributes:
        session: Who looks.
        principal: A tenant's: as what its key counts; None for the operator.
        api: The API's routes, as who looks.
        form: Of a POST: its fields, of which the session's token was checked.
        refusal: Why a form or a search was refused.
    """

    request: Request[Any, Any, Any]
    wiring: Wiring
    session: Session
    principal: Principal | None
    api: Backend
    form: Mapping[str, str] = field(default_factory=dict)
    _secure: bool = False
    refusal: Refusal = field(default_factory=Refusal)

    @property
    def query(self) -> Mapping[str, str]:
        """The address's parameters, the last of each name."""
        return dict(self.request.query_params.items())

    @property
    def tenant(self) -> Principal:
        """Who looks at a tenant's page."""
        if self.principal is None:  # the decorator lets nobody else in
            raise SignInError
        return self.principal

    def given(self, name: str) -> str:
        """A parameter of the address, else a field of the form that was sent."""
        return (self.query.get(name) or self.form.get(name, "")).strip()

    def may(self, scope: str) -> bool:
        """Whether the key that signed in has a scope: what a page offers to do."""
        return self.principal is not None and scope in self.principal.scopes

    def show(self, template: str, **values: Any) -> Response[str]:
        """A whole page."""
        said = given_said(self.request, secure=self._secure)
        answer = self.part(template, status=self.refusal.status, said=said, **values)
        if said:
            answer.cookies.append(said_cookie("", secure=self._secure))
        return answer

    @property
    def repeat(self) -> str | None:
        """The key of the form that was sent."""
        return self.form.get("repeat") or None

    def part(self, template: str, *, status: int = 200, **values: Any) -> Response[str]:
        """A part of a page, for one that is open to take in place of what it shows."""
        cookies = []
        renewed = self.wiring.seal.renewed(self.session)
        if renewed is not None:
            cookies.append(session_cookie(self.wiring.seal.cookie(renewed), secure=self._secure))
        text = render(template, **self._common(), **values)
        return html(text, status=status, cookies=cookies)

    def go(self, path: str, said: str = "") -> Response[str]:
        """To another page, which says this once."""
        cookies = [said_cookie(said, secure=self._secure)] if said else []
        return redirect(path, cookies)

    def _common(self) -> dict[str, Any]:
        return {
            "page": self,
            "who": OPERATOR if self.session.is_operator else TENANT,
            "here": self.request.scope["path"],
            "form_token": self.wiring.seal.form_token(self.session),
            "link": link,
            "may": self.may,
            "refused": self.refusal.problem,
            "typed": self.refusal.typed,
            "ticked": self.refusal.ticked,
            "fault": self.refusal.fault,
            "new_repeat_key": new_repeat_key,
        }


def new_repeat_key() -> str:
    """For a form: whoever sends it twice does it once. See `Backend.send`."""
    return secrets.token_hex(16)


def shown(path: str, who: Who) -> Callable[[Handler], Any]:
    """A GET of a page for one kind of reader; the other kind is told whose it is."""
    return lambda handler: litestar.get(path, include_in_schema=False)(_called(handler, who, is_form=False))


def done(path: str, who: Who, *, form: HTTPRouteHandler | None = None) -> Callable[[Handler], Any]:
    """A POST of a form of one of the session's own pages.

    Args:
        form: The page that has it, of the same path parameters or fewer: shown again if it is refused.
    """
    return lambda handler: litestar.post(path, include_in_schema=False, status_code=200)(
        _called(handler if form is None else _correctable(handler, _HANDLERS[form.fn]), who, is_form=True)
    )


def html(text: str, *, status: int = 200, cookies: list[Cookie] | None = None) -> Response[str]:
    """An answer that is a page."""
    return Response(text, status_code=status, media_type=MediaType.HTML, cookies=cookies)


def redirect(path: str, cookies: list[Cookie] | None = None) -> Response[str]:
    """An answer that sends a browser on, by GET."""
    return Response(
        "", status_code=303, media_type=MediaType.HTML, headers={"location": path}, cookies=cookies
    )


async def form_of(request: Request[Any, Any, Any], *, secure: bool) -> dict[str, str]:
    """The fields of a form.

    Raises:
        BodyTooLargeError, InvalidBodyError: Over 256 KiB, or 200 fields.
        ForbiddenError: It is not from a page of this service.
    """
    if not is_own_page(request, secure=secure):
        raise ForbiddenError("This form is not from a page of this service.")
    raw = await read_bytes(request, max_bytes=_MAX_FORM_BYTES)
    text = raw.decode("ascii", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise InvalidBodyError(f"A form has {_MOST_FIELDS} fields at most.") from None


def _correctable(handler: Handler, form: Handler) -> Handler:
    names = _names(form)

    @wraps(handler)
    async def correctable(page: Page, **ids: str) -> Response[Any]:
        try:
            return await handler(page, **ids)
        except (ApiRefusedError, InvalidBodyError) as error:
            if not is_correctable(error):
                raise
            page.refusal = refusal_of(error, page.form)
        return await form(page, **{name: ids[name] for name in names})

    return correctable


def _names(handler: Handler) -> list[str]:
    return [name for name in inspect.signature(handler).parameters if name != "page"]


def _called(handler: Handler, who: Who, *, is_form: bool) -> Handler:
    names = _names(handler)

    async def called(request: Request[Any, Any, Any]) -> Response[Any]:
        page = await _page(request, who)
        if is_form:
            page.form = await form_of(request, secure=page._secure)  # noqa: SLF001  # its own decorator
            if not page.wiring.seal.is_form_token(page.session, page.form.get(FORM_TOKEN, "")):
                raise ForbiddenError("This form is of an earlier session; go back and load its page anew.")
        return await handler(page, **{name: request.scope["path_params"][name] for name in names})

    called.__name__, called.__doc__ = handler.__name__, handler.__doc__
    called.__module__, called.__qualname__ = handler.__module__, handler.__qualname__
    _HANDLERS[called] = handler
    return called


async def _page(request: Request[Any, Any, Any], who: Who) -> Page:
    wiring: Wiring = request.app.state["wiring"]
    secure = is_secure(request, https=wiring.settings.console_https)
    session, principal = await signed_in(request, wiring.seal, wiring, secure=secure)
    if session.is_operator != (who == OPERATOR):
        mine = "a tenant's" if session.is_operator else "the operator's"
        raise ForbiddenError(f"This page is {mine}: sign in with another credential to see it.")
    api = Backend(request.app.state["api"], request.scope, session)
    return Page(request, wiring, session, principal, api, {}, secure)


async def signed_in(
    request: Request[Any, Any, Any], seal: Seal, wiring: Wiring, *, secure: bool
) -> tuple[Session, Principal | None]:
    """Who a browser is signed in as, and whether that still holds.

    Raises:
        SignInError: Nobody; the key was revoked, or the operator's token is another one.
        TenantSuspendedError, TenantLeavingError: The key is good, its tenant lets nobody in.
    """
    session = seal.read(given_session(request, secure=secure))
    if session is None:
        raise SignInError
    if session.key_id is None:
        token = wiring.settings.operator_token
        if token is None or not session.proves(seal.fingerprint(token)):
            raise SignInError
        return session, None
    try:
        return session, await wiring.authenticator.principal_of(session.key_id)
    except CredentialError as error:
        raise SignInError from error
