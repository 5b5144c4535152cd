"""Exports and imports over HTTP: asked for, downloaded by a link, brought into another tenant."""

import base64
import gzip
import hashlib
import uuid
from typing import Any

import httpx
import pytest

from agentflow_tenancy.exports import ExportFolder
from tests.support.api import Api, TenantKey, last_text, say
from tests.support.export_work import carried_out


def exported(api: Api, client: httpx.Client, prefix: str = "/v1", **asked: Any) -> dict[str, Any]:
    """A link to an export that is done."""
    answer = client.post(f"{prefix}/exports", json=asked)
    assert answer.status_code == 202, answer.text
    export = answer.json()["data"]["export"]
    assert export["state"] in ("queued", "running")
    carried_out(api)
    path = f"{prefix}/exports/{export['export_id']}"
    done = client.get(path).json()["data"]
    assert (done["state"], done["error"]) == ("done", None)
    link = client.post(f"{path}/link", json={"expires_in_s": 600})
    assert link.status_code == 201
    data: dict[str, Any] = link.json()["data"]
    return data | {"path": path}


@pytest.fixture
def archive(api: Api, tenant: TenantKey) -> bytes:
    """Of a tenant with a conversation."""
    with api.client(tenant) as client:
        last_text(client.post("/v1/graph/invoke", json=say("My name is Alex.", "t")))
        last_text(client.post("/v1/graph/invoke", json=say("Hello.", "é:{u}")))
        link = exported(api, client)
    return httpx.get(api.base_url + link["url"]).content


def test_the_conversation_goes_on(api: Api, archive: bytes) -> None:
    """In another tenant, as if it had always been there; and its export is the same archive."""
    other = api.tenant()
    with api.client(other) as client:
        answer = client.post("/v1/imports", content=archive)
        assert answer.status_code == 202, answer.text
        brought = answer.json()["data"]["import"]
        carried_out(api)
        done = client.get(f"/v1/imports/{brought['import_id']}").json()["data"]
        assert (done["state"], done["error"], done["progress"]["threads_done"]) == ("done", None, 2)
        assert [one["import_id"] for one in client.get("/v1/imports").json()["data"]["imports"]] == [
            brought["import_id"]
        ]
        assert httpx.get(api.base_url + exported(api, client)["url"]).content == archive
        assert "Alex" in last_text(client.post("/v1/graph/invoke", json=say("What's my name?", "t")))
        state = client.get("/v1/threads/t/state").json()["data"]["state"]
        assert state["execution_meta"]["thread_id"] == "t"


def test_a_download_goes_on_where_it_broke_off(api: Api, tenant: TenantKey) -> None:
    """Whole, in pieces, and never a mixture of two files."""
    with api.client(tenant) as client:
        client.post("/v1/graph/invoke", json=say("hi"))
        link = exported(api, client)
    url = api.base_url + link["url"]
    whole = httpx.get(url)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "application/x-tar")
    assert hashlib.sha256(whole.content).hexdigest() == link["sha256"]
    assert len(whole.content) == link["size_bytes"] == int(whole.headers["content-length"])
    size, tag = len(whole.content), whole.headers["etag"]
    for asked, first, last in [
        ("bytes=1000-", 1000, size - 1), ("bytes=0-99", 0, 99), ("bytes=-512", size - 512, size - 1),
        (f"bytes=5-{size * 2}", 5, size - 1), (f"bytes=-{size * 2}", 0, size - 1),
    ]:  # fmt: skip
        part = httpx.get(url, headers={"Range": asked, "If-Range": tag})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert part.content == whole.content[first : last + 1]
    for asked in (f"bytes={size}-", "bytes=-0"):
        beyond = httpx.get(url, headers={"Range": asked})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert httpx.get(url, headers={"Range": "bytes=" + "1" * 100}).status_code == 422
    for headers in ({"Range": "bytes=9-1"}, {"Range": "lines=1-2"}, {"Range": "bytes=1-", "If-Range": '"x"'}):
        assert httpx.get(url, headers=headers).content == whole.content


def test_a_link_opens_one_file_until_it_expires(api: Api, tenant: TenantKey) -> None:
    """Changed in any place it opens nothing; the file goes with its time, or when its tenant says so."""
    with api.client(tenant) as client:
        client.post("/v1/graph/invoke", json=say("hi"))
        link, other = exported(api, client), exported(api, client)
        token = link["url"].partition("=")[2]
        said = bytearray(base64.urlsafe_b64decode(token + "=="))
        for at in range(0, len(said), 9):
            said[at] ^= 1
            changed = base64.urlsafe_b64encode(bytes(said)).rstrip(b"=").decode()
            assert httpx.get(f"{api.base_url}/downloads?link={changed}").status_code == 410
            said[at] ^= 1
        for wrong in ("", "x", "%00", "é", token[:-4], token + "AAAA"):
            assert httpx.get(f"{api.base_url}/downloads?link={wrong}").status_code == 410
        assert httpx.get(f"{api.base_url}/downloads?link={'A' * 300}").status_code == 422
        old = client.post(f"{link['path']}/link", json={"expires_in_s": 1}).json()["data"]["url"]
        while httpx.get(api.base_url + old).status_code == 200:
            pass
        assert httpx.get(api.base_url + old).status_code == 410
        assert httpx.get(api.base_url + link["url"]).status_code == 200
        assert client.delete(link["path"]).json()["data"]["state"] == "expired"
        assert httpx.get(api.base_url + link["url"]).status_code == 410
        assert client.post(f"{link['path']}/link").status_code == 409
        assert client.delete(link["path"]).status_code == 409
        export_id = other["path"].rpartition("/")[2]
        assert ExportFolder(api.exports).archive(uuid.UUID(export_id)).exists()
        carried_out(
            api,
            "UPDATE agentflow_exports SET expires_at = now() WHERE export_id = CAST(:export_id AS uuid)",
            export_id=export_id,
        )
        assert client.get(other["path"]).json()["data"]["state"] == "expired"
        assert not ExportFolder(api.exports).archive(uuid.UUID(export_id)).exists()


def test_asked_twice_under_one_key(api: Api, tenant: TenantKey) -> None:
    """One export; and a cancelled one never runs."""
    with api.client(tenant) as client:
        headers = {"Idempotency-Key": "k"}
        first, second = (
            client.post("/v1/exports", json={"user_id": "alex"}, headers=headers).json()["data"]["export"]
            for _ in range(2)
        )
        assert first == second
        path = f"/v1/exports/{first['export_id']}"
        assert client.delete(path).json()["data"]["state"] == "cancelled"
        assert client.post(f"{path}/link", json={}).status_code == 409
        asked = [client.post("/v1/exports", json={}).status_code for _ in range(5)]
        assert asked == [202, 202, 202, 202, 409]
        page = client.get("/v1/exports", params={"limit": 2}).json()["data"]
        rest = client.get("/v1/exports", params={"cursor": page["next_cursor"]}).json()["data"]
        assert len({one["export_id"] for one in page["exports"] + rest["exports"]}) == 5
        for wrong in (
            {"thread_id": "t", "user_id": "u"},
            {"thread_id": "a/b"},
            {"tenant": "x"},
            {"user_id": "\0"},
        ):
            assert client.post("/v1/exports", json=wrong).status_code == 422
        carried_out(api)


def test_an_archive_that_is_none_is_told_at_once(api: Api, tenant: TenantKey, archive: bytes) -> None:
    """And one with threads that are there, before anything is stored."""
    other = api.tenant()
    with api.client(other) as client, api.client(tenant) as mine:
        for content in (b"", b"hello", archive[:-512], gzip.compress(archive), archive + b"x"):
            answer = client.post("/v1/imports", content=content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_ARCHIVE")
        at = archive.index(b"Alex")
        answer = client.post("/v1/imports", content=archive[:at] + b"Sara" + archive[at + 4 :])
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_ARCHIVE")
        packed = client.post(
            "/v1/imports", content=gzip.compress(archive), headers={"content-encoding": "gzip"}
        )
        assert packed.status_code == 415
        there = mine.post("/v1/imports", content=archive)
        assert (there.status_code, there.json()["error"]["code"]) == (409, "THREADS_EXIST")
        assert "tenant-" not in there.json()["error"]["message"]
        for one in (client, mine):
            assert one.get("/v1/imports").json()["data"]["imports"] == []
    assert not list(api.exports.glob("*.upload"))
    assert not list(api.exports.glob("*.incoming"))


def test_the_operator_does_the_same(api: Api, tenant: TenantKey) -> None:
    """For any tenant that there is."""
    slug, other = tenant.tenant.slug, api.tenant()
    with api.client(tenant) as client, api.operator() as operator:
        client.post("/v1/graph/invoke", json=say("My name is Alex."))
        link = exported(api, operator, f"/v1/admin/tenants/{slug}", thread_id="t")
        archive = httpx.get(api.base_url + link["url"]).content
        into = f"/v1/admin/tenants/{other.tenant.tenant_id}"
        brought = operator.post(f"{into}/imports", content=archive).json()["data"]["import"]
        carried_out(api)
        assert operator.get(f"{into}/imports/{brought['import_id']}").json()["data"]["state"] == "done"
        foreign = operator.get(f"{into}/exports/{link['path'].rpartition('/')[2]}")
        assert foreign.status_code == 404
        assert operator.post("/v1/admin/tenants/nobody/exports", json={}).status_code == 404
        entries = operator.get("/v1/admin/audit", params={"tenant": slug}).json()["data"]["entries"]
        assert "tenant.export" in {entry["action"] for entry in entries}
