"""A tenant's keys, usage and exports in a browser."""

import re
from collections.abc import Callable
from html import unescape

import httpx
import pytest

from tests.support.api import Api, last_text, say
from tests.support.console import Visitor
from tests.support.export_work import carried_out

SECRET = re.compile(r'id="secret"[^>]*>(af_live_[^<]+)<')


def secret_in(page: str) -> str:
    found = SECRET.search(page)
    assert found is not None, page
    return found[1]


def test_the_way_to_a_key_is_on_the_first_page(admin: Visitor, reader: Visitor) -> None:
    """For a key that may make others; another is told what it lacks."""
    page = admin.see("/console/home")
    assert 'href="/console/keys#new"' in page
    assert "Usage in" in page
    told = reader.see("/console/home")
    assert 'href="/console/keys#new"' not in told
    assert "keys:admin" in told
    assert "usage:read" in told


def test_a_key_is_shown_once(api: Api, admin: Visitor, client: httpx.Client) -> None:
    """On the page that answers, the same for the same form sent again; afterwards never."""
    admin.see("/console/keys")
    fields = {"name": "<b>shop</b>", "repeat": "a" * 32, "days": "30", "scope threads:read": "on"}
    made = admin.send("/console/keys", **fields)
    assert made.status_code == 200
    assert made.headers["cache-control"] == "no-store"
    secret = secret_in(made.text)
    assert secret_in(admin.send("/console/keys", **fields).text) == secret
    assert secret not in admin.see("/console/keys")
    assert "<b>shop</b>" not in made.text
    found = [key for key in client.get("/v1/keys").json()["data"]["keys"] if key["name"] == "<b>shop</b>"]
    assert [key["scopes"] for key in found] == [["threads:read"]]
    assert found[0]["expires_at"] is not None
    with api.with_key(secret) as program:
        assert program.get("/v1/threads").status_code == 200


def test_a_key_needs_rights(admin: Visitor) -> None:
    """None chosen is a mistake that is said, and no key of all rights."""
    admin.see("/console/keys")
    refused = admin.send("/console/keys", name="for what?", repeat="b" * 32, days="30")
    assert refused.status_code == 422
    assert 'role="alert" id="problem"' in refused.text
    assert 'value="for what?"' in refused.text
    assert '<option value="30" selected>' in refused.text
    assert re.search(r'name="scope threads:read" aria-invalid="true"', refused.text)
    assert "secret" not in refused.text


def test_rotating_and_revoking(api: Api, admin: Visitor, client: httpx.Client) -> None:
    """The new one is shown once; the old one ends when it was said to, a revoked one at once."""
    old = client.post("/v1/keys", json={"name": "old"}).json()["data"]
    key_id = old["key"]["key_id"]
    admin.see("/console/keys")
    rotated = admin.send(f"/console/keys/{key_id}/rotate", overlap_s="3600", repeat="c" * 32)
    new = secret_in(rotated.text)
    states = {key["key_id"]: key["state"] for key in client.get("/v1/keys").json()["data"]["keys"]}
    assert states[key_id] == "rotated"
    new_id = new.split("_")[2]
    revoked = admin.send(f"/console/keys/{new_id}/revoke")
    assert revoked.headers["location"] == "/console/keys"
    assert "opens nothing" in admin.see("/console/keys")
    assert client.get(f"/v1/keys/{new_id}").json()["data"]["state"] == "revoked"
    assert admin.send("/console/keys/nothing/revoke").status_code == 404
    assert admin.send(f"/console/keys/{key_id}/rotate", overlap_s="x", repeat="d" * 32).status_code == 422


def test_who_may_not_is_told_so(reader: Visitor) -> None:
    """Pages and forms alike."""
    for path in ("/console/keys", "/console/usage", "/console/exports", "/console/chat"):
        assert "Not allowed" in reader.see(path, status=403)
    for path, fields in (
        ("/console/keys", {"name": "x", "repeat": "a" * 32, "scope threads:read": "on"}),
        ("/console/keys/x/rotate", {"overlap_s": "1", "repeat": "a" * 32}),
        ("/console/keys/x/revoke", {}),
        ("/console/exports", {"what": "all", "repeat": "a" * 32}),
        ("/console/exports/x/end", {}),
        ("/console/chat", {"text": "x"}),
    ):
        refused = reader.send(path, **fields)
        assert refused.status_code == 403, path
        assert "Not allowed" in refused.text


@pytest.mark.parametrize("span", ["month", "day", "30", "year", "nonsense"])
def test_usage_stands_beside_quotas(admin: Visitor, client: httpx.Client, span: str) -> None:
    """Of each time there is to choose; numbers are in a table too."""
    last_text(client.post("/a/spends/v1/graph/invoke", json=say("x", "t")))
    page = admin.see("/console/usage", span=span)
    assert page.count('<figure class="chart"') == 4
    assert page.count('<table class="chart-numbers"') == 4
    tokens_out = re.search(r"<dt>Tokens out</dt><dd>([^<]+)</dd>", page)
    assert tokens_out is not None
    assert tokens_out[1] == "24"
    quotas = page[page.index('id="quotas"') :]
    assert "84 of" in quotas
    assert "1 of" in quotas


def test_an_export_from_its_start_to_its_file(
    api: Api, admin: Visitor, client: httpx.Client, signed_in: Callable[[str], Visitor]
) -> None:
    """Asked for once, watched, downloaded by a link; a thread's, a user's, and one that is ended."""
    last_text(client.post("/v1/graph/invoke", json=say("My name is Alex.", "t")))
    admin.see("/console/exports")
    fields = {"what": "thread", "of": "t", "repeat": "a" * 32}
    for _ in range(2):
        assert admin.send("/console/exports", **fields).headers["location"] == "/console/exports"
    page = admin.see("/console/exports")
    [export_id] = re.findall(r'id="export-([^"]+)"', page)
    part = f"/console/exports/{export_id}/part"
    assert f'data-live="{part}"' in admin.see(part)
    assert admin.send(f"/console/exports/{export_id}/download").status_code == 409
    carried_out(api)
    done = admin.see(part)
    assert "data-live" not in done
    assert "Download" in done
    link = admin.send(f"/console/exports/{export_id}/download").headers["location"]
    file = admin.client.get(unescape(link))
    assert file.headers["content-type"] == "application/x-tar"
    assert admin.send(f"/console/exports/{export_id}/end").headers["location"] == "/console/exports"
    assert "expired" in admin.see(part)
    refused = admin.send("/console/exports", what="user", of="", repeat="b" * 32)
    assert refused.status_code == 422
    assert '<option value="user" selected>' in refused.text
    other = signed_in(api.tenant().key)
    other.see(part, status=404)
    other.see("/console/exports")
    assert other.send(f"/console/exports/{export_id}/download").status_code == 404
