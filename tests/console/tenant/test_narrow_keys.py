"""Keys that may do little: they are offered what they may, and refused the rest, form by form."""

import re
from collections import deque
from collections.abc import Callable
from html import unescape
from typing import Any

import httpx
import pytest

from agentflow_api.console.tenant.routes import TENANTS_PAGES
from agentflow_tenancy import ALL_SCOPES
from tests.support.api import say
from tests.support.console import Visitor
from tests.support.console_pages import kind_of

READS = ["threads:read", "usage:read"]
SIGN_OUT = "/console/sign-out"
REPEAT = {"repeat": "a" * 32}
THREAD, KEY, EXPORT = (
    "/console/threads/{thread_id:str}",
    "/console/keys/{key_id:str}",
    "/console/exports/{export_id:str}",
)
# What each form needs, and what it is sent with.
FORMS: dict[str, tuple[str, dict[str, str]]] = {
    f"{THREAD}/answer": ("graph:invoke", {"answer": "yes", "form": "text", "interrupt_id": "x", **REPEAT}),
    f"{THREAD}/continue": ("graph:invoke", {"checkpoint": "1", "text": "hi", **REPEAT}),
    f"{THREAD}/fork": ("threads:write", {"checkpoint": "1", "where": "new", "to_thread": "f", **REPEAT}),
    f"{THREAD}/rename": ("threads:write", {"thread_name": "named"}),
    f"{THREAD}/delete": ("threads:write", {"confirm": "t"}),
    "/console/chat": ("graph:invoke", {"text": "hi", "thread": "t", **REPEAT}),
    "/console/keys": ("keys:admin", {"name": "x", "scope threads:read": "on", **REPEAT}),
    f"{KEY}/rotate": ("keys:admin", {"overlap_s": "0", **REPEAT}),
    f"{KEY}/revoke": ("keys:admin", {}),
    "/console/exports": ("tenant:admin", {"what": "all", **REPEAT}),
    f"{EXPORT}/download": ("tenant:admin", {}),
    f"{EXPORT}/end": ("tenant:admin", {}),
}


@pytest.fixture
def ids(client: httpx.Client) -> dict[str, str]:
    """A thread that waits for an answer, a key, and an export."""
    assert client.post("/a/asks/v1/graph/invoke", json=say("hi", "t")).is_success
    export = client.post("/v1/exports", json={}).json()["data"]["export"]["export_id"]
    return {"thread_id:str": "t", "key_id:str": _key(client, READS)["key"]["key_id"], "export_id:str": export}


def test_all_forms_are_known() -> None:
    """One that is added says here what it needs."""
    assert {path for one in TENANTS_PAGES if "POST" in one.http_methods for path in one.paths} == set(FORMS)


@pytest.mark.parametrize("scopes", [READS, *([scope] for scope in sorted(ALL_SCOPES)), sorted(ALL_SCOPES)])
def test_a_key_is_offered_what_it_may(
    client: httpx.Client, signed_in: Callable[[str], Visitor], ids: dict[str, str], scopes: list[str]
) -> None:
    """Every link opens, and every form on every page is for one of its scopes."""
    offered = _walked(signed_in(_key(client, scopes)["api_key"]))
    needed = {FORMS[kind_of(action)][0] for action in offered - {SIGN_OUT}}
    assert needed <= set(scopes)
    if scopes == READS:
        assert offered == {SIGN_OUT}


@pytest.mark.parametrize("missing", [None, *sorted({scope for scope, _ in FORMS.values()})])
def test_a_forced_form_is_refused(
    client: httpx.Client, signed_in: Callable[[str], Visitor], ids: dict[str, str], missing: str | None
) -> None:
    """By a page, and nothing is done: every form of a key that reads, or of one that lacks its scope."""
    scopes = READS if missing is None else sorted(set(ALL_SCOPES) - {missing})
    one = signed_in(_key(client, scopes)["api_key"])
    before = _all_there_is(client)
    for route, (needed, fields) in FORMS.items():
        if missing not in (None, needed):
            continue
        path = re.sub(r"\{([^}]+)\}", lambda found: ids[found[1]], route)
        answer = one.send(path, **fields)
        assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8"), path
        assert "<h1>Not allowed</h1>" in answer.text, path
        assert needed in answer.text, path
    assert _all_there_is(client) == before


def _key(client: httpx.Client, scopes: list[str]) -> Any:
    made = client.post("/v1/keys", json={"name": "narrow", "scopes": scopes})
    assert made.is_success, made.text
    return made.json()["data"]


def _walked(one: Visitor) -> set[str]:
    """Where the forms of all pages lead that links lead to."""
    offered: set[str] = set()
    done: set[str] = set()
    waiting = deque(["/console/home"])
    while waiting:
        path = waiting.popleft().partition("#")[0]
        if path in done:
            continue
        done.add(path)
        page = one.see(path)
        offered |= {
            unescape(one) for one in re.findall(r'<form[^>]* method="post"[^>]* action="([^"]+)"', page)
        }
        waiting.extend(unescape(one) for one in re.findall(r'<a[^>]* href="(/console/[^"]+)"', page))
    return offered


def _all_there_is(client: httpx.Client) -> list[Any]:
    threads = client.get("/v1/threads").json()["data"]["threads"]
    history = client.get("/v1/threads/t/history").json()["data"]["checkpoints"]
    keys = client.get("/v1/keys").json()["data"]["keys"]
    exports = client.get("/v1/exports").json()["data"]["exports"]
    return [threads, history, [(key["key_id"], key["state"]) for key in keys], exports]
