"""Offboarding over HTTP: asked for with writes arriving, watched, taken back, skipped; and receipts."""

import asyncio
import json
import secrets
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_tenancy.exports import ExportFolder
from agentflow_tenancy.offboarding.receipts import verify
from agentflow_worker.offboarding_archives import ArchivesPlace
from tests.integration.api.test_exports import exported
from tests.support.api import Api, TenantKey, say
from tests.support.leaving import STAYS, keys_of, rows_of, runner_of, texts_with, work_all
from tests.support.waiting import soon
from tests.support.writing import Writing

TENANTS = "/v1/admin/tenants"


def work(api: Api, redis_url: str, *, settle_s: float = 1.2) -> None:
    """What the worker does, until there is nothing to do at this moment."""

    async def all_of_it() -> None:
        engine, redis = create_async_engine(api.database_url), Redis.from_url(redis_url)
        places = [ArchivesPlace(engine, ExportFolder(api.exports))]
        pepper = api.pepper.encode()
        await work_all(runner_of(engine, redis=redis, pepper=pepper, places=places, settle_s=settle_s))
        await redis.aclose()
        await engine.dispose()

    asyncio.run(all_of_it())


def looked(api: Api, look: Any, *arguments: Any) -> Any:
    """What a look into the database by its owner finds."""

    async def once() -> Any:
        owner = await asyncpg.connect(api.database_url.replace("+asyncpg", ""))
        try:
            return await look(owner, *arguments)
        finally:
            await owner.close()

    return asyncio.run(once())


async def content_of(owner: Any, tenant_id: uuid.UUID) -> dict[str, str]:
    """What a tenant's threads hold; when its keys were used, and what runs did, is noted a while later."""
    rows = await rows_of(owner, tenant_id)
    return {
        name: digest
        for name, digest in rows.items()
        if "_p" in name and not name.startswith("agentflow_run_traces")
    }


def test_a_tenant_leaves_while_it_writes(api: Api, tenant: TenantKey, redis_url: str) -> None:
    """202, then 410 for all that comes; the receipt is there, and the neighbour is as it was."""
    canary = f"canary{secrets.token_hex(8)}"
    leaver = api.tenant(f"l-{secrets.token_hex(4)}")

    def thread_of(number: int) -> str:
        return f"{canary}-{number}"

    with api.client(tenant) as neighbour:
        neighbour.post("/v1/graph/invoke", json=say("My name is Alex.", "t"))
    before = looked(api, content_of, tenant.tenant.tenant_id)
    assert before
    with api.client(leaver) as client, Writing(api.client(leaver), canary, thread_of) as writing:
        soon(lambda: len(writing.codes) > 3)
        client.post("/v1/keys", json={"name": canary})
        client.post("/v1/threads/x/runs", json=say(canary, "x") | {"agent": "echo"})
        asked = client.post(
            "/v1/tenant/offboarding",
            json={"confirm": leaver.tenant.slug, "grace_s": 0},
            headers={"Idempotency-Key": "k"},
        )
        assert asked.status_code == 202
        found = asked.json()["data"]["offboarding"]
        assert (found["state"], found["kind"]) == ("suspended", "tenant")
        again = client.post(
            "/v1/tenant/offboarding",
            json={"confirm": leaver.tenant.slug, "grace_s": 0},
            headers={"Idempotency-Key": "k"},
        )
        assert again.json()["data"]["offboarding"]["offboarding_id"] == found["offboarding_id"]
        soon(lambda: writing.codes[-1] == 410)
        shown = client.get(f"/v1/tenant/offboardings/{found['offboarding_id']}")
        assert shown.json()["data"]["offboarding_id"] == found["offboarding_id"]
        receipt = httpx.get(f"{api.base_url}/receipts/{found['offboarding_id']}")
        assert receipt.status_code == 404
        work(api, redis_url)
        gone = client.get("/v1/threads")
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "TENANT_GONE")
        assert client.get("/v1/tenant/offboarding").status_code == 410
    assert set(writing.codes) == {200, 410}
    first = writing.codes.index(410)
    assert set(writing.codes[first:]) == {410}
    file = httpx.get(f"{api.base_url}/receipts/{found['offboarding_id']}").json()["data"]
    keys = httpx.get(f"{api.base_url}/.well-known/receipts-jwks.json").json()
    assert verify(file, keys)["tenant_id"] == str(leaver.tenant.tenant_id)
    assert looked(api, texts_with, canary) == {}
    assert looked(api, content_of, tenant.tenant.tenant_id) == before
    with api.operator() as operator:
        assert operator.get(f"{TENANTS}/{leaver.tenant.slug}").status_code == 404
        shown = operator.get(f"/v1/admin/offboardings/{found['offboarding_id']}").json()["data"]
        assert (shown["state"], shown["receipt_id"]) == ("purged", found["offboarding_id"])
        assert operator.get(f"/v1/admin/receipts/{found['offboarding_id']}").json()["data"] == file
        assert file in operator.get("/v1/admin/receipts").json()["data"]["receipts"]
        # A new one of the same slug sees nothing old.
        made = operator.post(TENANTS, json={"slug": leaver.tenant.slug}).json()["data"]
    with api.with_key(made["api_key"]) as client:
        assert client.get("/v1/threads").json()["data"]["threads"] == []


class Slow:
    """A request that was let in, and whose body has not come yet."""

    def __init__(self, client: httpx.Client, path: str, body: bytes, **headers: str) -> None:
        self.rest = threading.Event()
        self.sent = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(client, path, body, headers))
        self._thread.start()
        self.code = 0

    def answered(self) -> int:
        """Once the rest was sent."""
        self.rest.set()
        self._thread.join()
        return self.code

    def _run(self, client: httpx.Client, path: str, body: bytes, headers: dict[str, str]) -> None:
        answer = client.post(path, content=self._pieces(body), headers=headers)
        self.code = answer.status_code

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        yield body[:3]
        self.sent.set()
        self.rest.wait()
        yield body[3:]


def test_bodies_that_come_when_the_tenant_is_gone(api: Api, redis_url: str) -> None:
    """Requests of every kind that were let in before are answered 410, and leave no row, key or file."""
    canary = f"canary{secrets.token_hex(8)}"
    leaver = api.tenant()
    turn = json.dumps(say(canary, canary)).encode()
    run = json.dumps(say(canary, canary) | {"agent": "echo"}).encode()
    key = {"Idempotency-Key": canary}
    with api.client(leaver) as client:
        token = client.post("/v1/tokens", json={"user_id": "u"}).json()["data"]["token"]
        client.post("/v1/graph/invoke", json=say("before", "before"))
        link = exported(api, client)["url"]
        archive = httpx.get(api.base_url + link).content
        slow = [
            Slow(client, "/v1/keys", json.dumps({"name": canary}).encode()),
            Slow(client, "/v1/graph/invoke", turn),
            Slow(client, f"/v1/threads/{canary}/runs", run),
            Slow(client, f"/v1/threads/{canary}/runs", run, **key),
            Slow(client, "/v1/exports", b"{} ", **{"Idempotency-Key": f"{canary}-2"}),
            Slow(client, "/v1/imports", archive),
        ]
        for one in slow:
            assert one.sent.wait(60)
        soon(lambda: len(list(api.exports.glob(f"{leaver.tenant.tenant_id}.*"))) == 1)
        body = {"confirm": leaver.tenant.slug, "grace_s": 0}
        asked = client.post("/v1/tenant/offboarding", json=body).json()["data"]["offboarding"]
        work(api, redis_url)
        receipt = httpx.get(f"{api.base_url}/receipts/{asked['offboarding_id']}")
        assert receipt.status_code == 200
        assert list(api.exports.glob(f"{leaver.tenant.tenant_id}.*")) == []
        assert [one.answered() for one in slow] == [410] * len(slow)
        with api.with_key(token) as browser:
            assert browser.get("/v1/threads").status_code == 410
        assert httpx.get(api.base_url + link).status_code == 410
    assert looked(api, texts_with, canary) == {}
    assert set(looked(api, rows_of, leaver.tenant.tenant_id)) == STAYS
    assert list(api.exports.glob(f"{leaver.tenant.tenant_id}.*")) == []
    assert looked_into(redis_url, leaver.tenant.tenant_id) == []
    with api.operator() as operator:
        gone = {"tenant": str(leaver.tenant.tenant_id)}
        found = operator.get("/v1/admin/offboardings", params=gone).json()["data"]["offboardings"]
        assert [one["offboarding_id"] for one in found] == [asked["offboarding_id"]]


def looked_into(redis_url: str, tenant_id: uuid.UUID) -> list[bytes]:
    """A tenant's keys in Redis."""

    async def once() -> list[bytes]:
        async with Redis.from_url(redis_url) as redis:
            return await keys_of(redis, tenant_id)

    return asyncio.run(once())


def test_a_receipt_outlives_the_key_that_signed_it(api: Api, redis_url: str) -> None:
    """Tokens of a retired key end within the hour; receipts verify for ever."""
    leaver = api.tenant()
    with api.operator() as operator:
        path = f"{TENANTS}/{leaver.tenant.slug}/offboarding"
        found = operator.post(path, json={"grace_s": 0}).json()["data"]["offboarding"]
        work(api, redis_url, settle_s=0)
        assert operator.post("/v1/admin/signing-keys/rotate").status_code == 201
    file = httpx.get(f"{api.base_url}/receipts/{found['offboarding_id']}").json()["data"]
    keys = httpx.get(f"{api.base_url}/.well-known/receipts-jwks.json").json()
    assert verify(file, keys)["receipt_id"] == found["offboarding_id"]
    assert len(keys["keys"]) >= 2
    assert all("d" not in key for key in keys["keys"])


def test_a_tenant_stays_after_all(api: Api, redis_url: str) -> None:
    """Its own key takes it back in the grace; a second time there is nothing to take back."""
    leaver = api.tenant()
    with api.client(leaver) as client:
        client.post("/v1/graph/invoke", json=say("hello", "t"))
        assert client.get("/v1/tenant/offboarding").json()["data"]["offboarding"] is None
        assert client.post("/v1/tenant/offboarding/cancel").status_code == 404
        wrong = client.post("/v1/tenant/offboarding", json={"confirm": "another"})
        assert wrong.status_code == 422
        asked = client.post("/v1/tenant/offboarding", json={"confirm": leaver.tenant.slug})
        assert asked.json()["data"]["offboarding"]["grace_s"] == 604_800
        work(api, redis_url)
        soon(lambda: client.get("/v1/threads").status_code == 410)
        waiting = client.get("/v1/tenant/offboarding").json()["data"]["offboarding"]
        assert waiting["state"] == "grace"
        assert waiting["grace_until"] is not None
        assert client.post("/v1/tenant/offboarding/cancel").status_code == 202
        soon(lambda: client.get("/v1/threads").status_code == 200)
        assert len(client.get("/v1/threads/t/messages").json()["data"]["messages"]) == 2


def test_the_operator_waits_skips_and_takes_back(api: Api, redis_url: str) -> None:
    """A dry run counts; a suspended tenant is suspended again after a cancel; skipping the grace ends it."""
    leaver = api.tenant()
    path = f"{TENANTS}/{leaver.tenant.slug}"
    with api.operator() as operator, api.client(leaver) as client:
        client.post("/v1/graph/invoke", json=say("hello", "t"))
        dry = operator.post(f"{path}/offboarding", json={"dry_run": True}).json()["data"]["offboarding"]
        work(api, redis_url)
        measured = operator.get(f"/v1/admin/offboardings/{dry['offboarding_id']}").json()["data"]
        assert (measured["state"], measured["dry_run"]) == ("measured", True)
        assert measured["counts"]["agentflow_threads"] == 1
        assert client.get("/v1/threads").status_code == 200
        operator.post(f"{path}/suspend")
        asked = operator.post(f"{path}/offboarding", json={}).json()["data"]["offboarding"]
        one = f"/v1/admin/offboardings/{asked['offboarding_id']}"
        assert operator.post(f"{path}/resume").status_code == 409
        assert operator.post(f"{path}/placement", json={"placement": "dedicated"}).status_code == 409
        assert operator.get(path).json()["data"]["state"] == "offboarding"
        assert operator.post(f"{one}/cancel").json()["data"]["state"] == "cancelled"
        assert operator.get(path).json()["data"]["state"] == "suspended"
        assert operator.post(f"{one}/cancel").status_code == 409
        assert operator.post(f"{one}/skip-grace").status_code == 409
        asked = operator.post(f"{path}/offboarding").json()["data"]["offboarding"]
        one = f"/v1/admin/offboardings/{asked['offboarding_id']}"
        assert operator.post(f"{one}/skip-grace").status_code == 202
        work(api, redis_url)
        assert operator.get(one).json()["data"]["state"] == "purged"
        listed = operator.get("/v1/admin/offboardings", params={"state": "purged"}).json()["data"][
            "offboardings"
        ]
        assert asked["offboarding_id"] in {each["offboarding_id"] for each in listed}
        assert operator.get("/v1/admin/offboardings", params={"state": "no"}).status_code == 422
        assert operator.get(f"/v1/admin/offboardings/{uuid.uuid4()}").status_code == 404


def test_a_user_is_forgotten_by_the_tenant(api: Api, redis_url: str) -> None:
    """What they left is gone for everybody; the tenant goes on, and reads the receipt."""
    mine = api.tenant()
    with api.client(mine) as client:
        for user in ("u-1", "u-2"):
            token = client.post("/v1/tokens", json={"user_id": user}).json()["data"]["token"]
            with api.with_key(token) as as_user:
                assert as_user.post("/v1/graph/invoke", json=say("hello", user)).status_code == 200
        asked = client.post("/v1/tenant/forgotten-users", json={"user_id": "u-1"})
        assert asked.status_code == 202
        found = asked.json()["data"]["offboarding"]
        work(api, redis_url)
        shown = client.get(f"/v1/tenant/offboardings/{found['offboarding_id']}").json()["data"]
        assert (shown["state"], shown["progress"]["threads_purged"]) == ("purged", 1)
        assert [one["thread_id"] for one in client.get("/v1/threads").json()["data"]["threads"]] == ["u-2"]
    assert httpx.get(f"{api.base_url}/receipts/{found['offboarding_id']}").status_code == 200
    other = api.tenant()
    with api.client(other) as client:
        assert client.get(f"/v1/tenant/offboardings/{found['offboarding_id']}").status_code == 404


@pytest.fixture
def files(tmp_path: Path, api: Api, redis_url: str) -> tuple[Path, Path]:
    """A receipt and the keys, as files."""
    leaver = api.tenant()
    with api.operator() as operator:
        path = f"{TENANTS}/{leaver.tenant.slug}/offboarding"
        found = operator.post(path, json={"grace_s": 0}).json()["data"]["offboarding"]
        work(api, redis_url, settle_s=0)
        data = operator.get(f"/v1/admin/receipts/{found['offboarding_id']}").text
    receipt, keys = tmp_path / "receipt.json", tmp_path / "keys.json"
    receipt.write_text(data[len('{"data":') : data.rindex(',"metadata"')])
    keys.write_text(httpx.get(f"{api.base_url}/.well-known/receipts-jwks.json").text)
    return receipt, keys


def test_the_command_verifies_without_a_service(files: tuple[Path, Path], api: Api) -> None:
    """By the keys in a file or at an address; a changed one does not verify, which the exit code says."""
    receipt, keys = files
    command = [sys.executable, "-m", "agentflow_cloud", "receipt", "verify", str(receipt), "--jwks"]
    for jwks in (str(keys), f"{api.base_url}/.well-known/receipts-jwks.json"):
        done = subprocess.run([*command, jwks], capture_output=True, text=True, check=False, env={})
        assert (done.returncode, done.stderr) == (0, "")
        assert "verifies" in done.stdout
    receipt.write_text(receipt.read_text().replace('"kind":"tenant"', '"kind":"user"'))
    done = subprocess.run([*command, str(keys)], capture_output=True, text=True, check=False, env={})
    assert done.returncode == 1
    assert "changed" in done.stderr
    receipt.write_text("[]")
    done = subprocess.run([*command, str(keys)], capture_output=True, text=True, check=False, env={})
    assert (done.returncode, "no receipt" in done.stderr) == (1, True)
