"""The operator's tenants and keys, from the command line of a running service."""

import json
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jwt
import pytest

from tests.support.api import Api, TenantKey, free_port, say
from tests.support.command import Operator
from tests.support.cutting_proxy import CuttingProxy
from tests.support.waiting import soon


@pytest.fixture
def operator(api: Api) -> Operator:
    return Operator(api)


def new_slug() -> str:
    return f"t-{secrets.token_hex(6)}"


def status(api: Api, key: str) -> int:
    with api.with_key(key) as client:
        return client.get("/v1/threads").status_code


@contextmanager
def redirecting(to: str) -> Iterator[str]:
    """A server that sends every request elsewhere; its address."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", to)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_an_answer_that_gets_lost(api: Api) -> None:
    """The command asks again: there is one tenant with one key, and it is the one shown."""
    slug = new_slug()
    with CuttingProxy(api.port) as proxy:
        proxy.cuts += [0, 40]
        made = Operator(api, AGENTFLOW_URL=proxy.base_url).json("tenant", "create", slug)
        assert proxy.done == 2
    assert status(api, made["api_key"]) == 200
    with api.operator() as client:
        keys = client.get(f"/v1/admin/tenants/{slug}/keys").json()["data"]["keys"]
        assert [key["key_id"] for key in keys] == [made["key"]["key_id"]]
        entries = client.get(f"/v1/admin/audit?tenant={slug}").json()["data"]["entries"]
        assert sorted(entry["action"] for entry in entries) == ["key.create", "tenant.create"]


def test_a_tenant_is_made_with_a_key_shown_once(api: Api, operator: Operator) -> None:
    """The key stands first, works, and is in no later answer; every value arrives."""
    slug = new_slug()
    made = operator.text(
        "tenant", "create", slug, "--name", "Acmé Inc.", "--plan", "free", "--limit", "threads=7",
        "--retention-days", "30", "--agent", "echo", "--agent", "memory", "--default-agent", "memory",
        "--scope", "graph:invoke",
    )  # fmt: skip
    key = made.splitlines()[0]
    assert "cannot be read again" in made
    with api.with_key(key) as client:
        assert client.post("/v1/graph/invoke", json=say("hi")).status_code == 200
        assert client.get("/v1/threads").status_code == 403
    tenant = operator.json("tenant", "show", slug)
    assert (tenant["name"], tenant["plan"], tenant["retention_days"]) == ("Acmé Inc.", "free", 30)
    assert (tenant["own_limits"], tenant["agents"]) == ({"threads": 7}, ["echo", "memory"])
    assert operator.json("tenant", "show", tenant["tenant_id"]) == tenant
    keys = operator.json("key", "list", slug)
    assert [known["scopes"] for known in keys] == [["graph:invoke"]]
    assert key not in operator.text("key", "list", slug) + json.dumps(keys) + json.dumps(tenant)


def test_listing_goes_through_every_page(operator: Operator, api: Api) -> None:
    """More than a page holds, each once; filters narrow; the table has the same rows."""
    mark = secrets.token_hex(4)
    slugs = sorted(f"{mark}-{i}" for i in range(3))
    for slug in slugs:
        operator.json("tenant", "create", slug, "--plan", "free")
    operator.text("tenant", "suspend", slugs[1])
    found = operator.json("tenant", "list", "--search", mark, "--plan", "free")
    assert [tenant["slug"] for tenant in found] == slugs
    suspended = operator.text("tenant", "list", "--search", mark, "--state", "suspended").splitlines()
    assert suspended[0].split()[:3] == ["SLUG", "STATE", "PLAN"]
    assert [line.split()[:3] for line in suspended[1:]] == [[slugs[1], "suspended", "free"]]
    assert operator.json("tenant", "list", "--search", mark, "--plan", "standard") == []
    assert operator.text("tenant", "list", "--search", mark, "--plan", "standard").startswith("SLUG")


def test_a_listing_longer_than_a_page(operator: Operator, api: Api, tenant: TenantKey) -> None:
    """A thousand keys and some, each once."""
    slug = tenant.tenant.slug
    with api.operator() as client:
        for _ in range(1001):
            assert client.post(f"/v1/admin/tenants/{slug}/keys").status_code == 201
    found = [key["key_id"] for key in operator.json("key", "list", slug)]
    assert len(found) == len(set(found)) == 1002


def test_a_reader_that_has_enough(operator: Operator, tenant: TenantKey) -> None:
    """A closed pipe ends the command without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        done = operator.run("tenant", "show", tenant.tenant.slug, stdout=stream)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_update_changes_what_is_said(operator: Operator, tenant: TenantKey) -> None:
    """What is not said stays; what is taken away is the plan's again."""
    slug = tenant.tenant.slug
    first = ("--limit", "threads=3", "--limit", "burst=5", "--retention-days", "9", "--agent", "memory")
    changed = operator.json("tenant", "update", slug, *first)
    assert (changed["own_limits"], changed["retention_days"]) == ({"threads": 3, "burst": 5}, 9)
    assert changed["agents"] == ["memory"]
    assert operator.json("tenant", "update", slug, "--limit", "threads=4")["own_limits"] == {"threads": 4}
    free = operator.json("tenant", "update", slug, "--no-limits", "--keep-forever", "--all-agents")
    assert (free["own_limits"], free["retention_days"], free["agents"]) == ({}, None, None)
    assert "name" in operator.text("tenant", "update", slug, "--name", "New")
    assert operator.json("tenant", "show", slug)["name"] == "New"


def test_suspend_and_resume(api: Api, operator: Operator, tenant: TenantKey) -> None:
    """Its keys are refused within a second, and taken again; repeating is no mistake."""
    slug = tenant.tenant.slug
    for _ in range(2):
        assert operator.json("tenant", "suspend", slug)["state"] == "suspended"
    soon(lambda: status(api, tenant.key) == 403)
    for _ in range(2):
        assert operator.json("tenant", "resume", slug)["state"] == "active"
    soon(lambda: status(api, tenant.key) == 200)


def test_a_key_from_its_making_to_its_end(api: Api, operator: Operator, tenant: TenantKey) -> None:
    """Made with what was said, rotated so that both work, then revoked."""
    slug = tenant.tenant.slug
    made = operator.json(
        "key", "create", slug, "--name", "site", "--scope", "threads:read", "--scope", "graph:invoke",
        "--expires-at", "2100-01-01T00:00:00Z", "--limit", "requests_per_minute=600",
    )  # fmt: skip
    key_id = made["key"]["key_id"]
    assert (made["key"]["name"], made["key"]["limits"]) == ("site", {"requests_per_minute": 600})
    assert operator.json("key", "show", slug, key_id) == made["key"]
    assert made["key"]["expires_at"].startswith("2100-01-01T00:00:00")
    rotated = operator.text("key", "rotate", slug, key_id, "--overlap-s", "3600")
    new = rotated.splitlines()[0]
    assert "cannot be read again" in rotated
    assert f"The key {key_id} is good until" in rotated
    assert (status(api, made["api_key"]), status(api, new)) == (200, 200)
    assert "rotated already" in operator.refused("key", "rotate", slug, key_id)
    assert operator.json("key", "revoke", slug, key_id)["state"] == "revoked"
    soon(lambda: status(api, made["api_key"]) == 401)
    assert status(api, new) == 200
    row = next(line for line in operator.text("key", "list", slug).splitlines() if key_id in line)
    assert row.split()[1] == "revoked"
    assert "api_key" in operator.json("key", "create", slug)


def test_another_signing_key(api: Api, operator: Operator, tenant: TenantKey) -> None:
    """Signs from now on; a token of the old one is good until it ends."""
    with api.client(tenant) as client:
        old = client.post("/v1/tokens", json={"scopes": ["threads:read"]}).json()["data"]["token"]
        kid = operator.json("signing-key", "rotate")["kid"]
        published = client.get("/.well-known/jwks.json").json()["keys"]
        assert kid in [key["kid"] for key in published]
        new = client.post("/v1/tokens", json={"scopes": ["threads:read"]}).json()["data"]["token"]
    assert jwt.get_unverified_header(new)["kid"] == kid != jwt.get_unverified_header(old)["kid"]
    assert (status(api, old), status(api, new)) == (200, 200)


def test_the_service_refuses_in_its_own_words(operator: Operator, tenant: TenantKey) -> None:
    """Exit code 1, the place of each problem, nothing on stdout."""
    slug = tenant.tenant.slug
    assert "no such tenant" in operator.refused("tenant", "show", "missing")
    assert "no such key" in operator.refused("key", "revoke", slug, "x")
    assert "no such key" in operator.refused("key", "show", slug, "0" * 12)
    assert "slug" in operator.refused("tenant", "create", "Not_A_Slug")
    assert slug in operator.refused("tenant", "create", slug)
    assert "no limit 'thread'" in operator.refused("tenant", "update", slug, "--limit", "thread=1")
    assert "retention_days: " in operator.refused("tenant", "update", slug, "--retention-days", "0")
    assert "lies in the past" in operator.refused("key", "create", slug, "--expires-at", "2001-01-01")
    assert "no scope 'root'" in operator.refused("key", "create", slug, "--scope", "root")


@pytest.mark.parametrize(
    "words",
    [
        ("tenant",),
        ("tenant", "create"),
        ("tenant", "show", ""),
        ("tenant", "show", ".."),
        ("tenant", "suspend", "a/b"),
        ("tenant", "show", "a?b"),
        ("tenant", "list", "--state", "gone"),
        ("tenant", "list", "--placement", "x"),
        ("tenant", "update", "acme"),
        ("tenant", "update", "acme", "--limit", "threads"),
        ("tenant", "update", "acme", "--limit", "threads=-1"),
        ("tenant", "update", "acme", "--limit", "threads=1", "--no-limits"),
        ("key", "revoke", "acme"),
        ("key", "revoke", "acme", "../.."),
        ("key", "rotate", "acme", "k", "--overlap-s", "soon"),
    ],
)
def test_wrong_usage(operator: Operator, words: tuple[str, ...]) -> None:
    """Exit code 2, told before the service is asked."""
    assert operator.refused(*words, code=2)


@pytest.mark.parametrize("words", [("tenant", "create"), ("tenant", "update"), ("key", "rotate")])
def test_help_shows_examples(operator: Operator, words: tuple[str, ...]) -> None:
    assert f"\n  agentflow-cloud {' '.join(words)} acme" in operator.text(*words, "--help")


def test_a_service_is_found_by_dev_json(api: Api, state_dir: Path) -> None:
    """Without an address, the state folder's; a folder without one is told of and left as it was."""
    folder = state_dir / "stack"
    beside = Operator(api, AGENTFLOW_URL="", AGENTFLOW_OPERATOR_TOKEN="", AGENTFLOW_STATE_DIR=str(folder))
    assert "make run" in beside.refused("tenant", "list")
    assert not folder.exists()
    folder.mkdir()
    for broken in ("{", "[]", '{"base_url": "http://x"}'):
        (folder / "dev.json").write_text(broken)
        assert "make run" in beside.refused("tenant", "list")
    dev = {"base_url": api.base_url, "operator_token": api.operator_token}
    (folder / "dev.json").write_text(json.dumps(dev))
    assert beside.json("tenant", "list", "--search", "nobody-has-this") == []
    elsewhere = Operator(api, AGENTFLOW_OPERATOR_TOKEN="", AGENTFLOW_STATE_DIR=str(folder))
    assert "AGENTFLOW_OPERATOR_TOKEN" in elsewhere.refused("tenant", "list")


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none(api: Api, url: str) -> None:
    assert "AGENTFLOW_URL" in Operator(api, AGENTFLOW_URL=url).refused("tenant", "list")


def test_a_service_that_does_not_answer_as_it_should(api: Api) -> None:
    """Told with what to look at: nobody there, a wrong path, a wrong token."""
    nobody = Operator(api, AGENTFLOW_URL=f"http://127.0.0.1:{free_port()}")
    assert "No answer from http://127.0.0.1:" in nobody.refused("tenant", "list", code=3)
    assert Operator(api, AGENTFLOW_URL=f"{api.base_url}/elsewhere").refused("tenant", "list")
    assert Operator(api, AGENTFLOW_OPERATOR_TOKEN="wrong").refused("tenant", "list")
    unfit = Operator(api, AGENTFLOW_OPERATOR_TOKEN="wr\nong").refused("tenant", "list")
    assert "AGENTFLOW_OPERATOR_TOKEN" in unfit


def test_a_token_is_shown_to_nobody_else(api: Api) -> None:
    """An answer that sends elsewhere is an error, and is not followed."""
    with redirecting(f"{api.base_url}/v1/admin/tenants") as url:
        said = Operator(api, AGENTFLOW_URL=url).refused("tenant", "list")
    assert "302" in said
