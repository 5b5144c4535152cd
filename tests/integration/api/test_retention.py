"""The dry run by HTTP and from the command line, and a thread's own end."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.support import databases
from tests.support.api import Api, TenantKey, say
from tests.support.command import Operator


@pytest.fixture
def operator(api: Api) -> Operator:
    return Operator(api)


async def _execute(api: Api, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(api.database_url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


def test_a_dry_run(api: Api, tenant: TenantKey, operator: Operator) -> None:
    """Says what would go by the tenant's settings, or by others; changes nothing, and is the tenant's own."""
    slug = tenant.tenant.slug
    with api.client(tenant) as client:
        for name in ("old", "new"):
            assert client.post("/v1/graph/invoke", json=say("hello", name)).status_code == 200
        aged = "UPDATE agentflow_threads SET updated_at = now() - interval '40 days' WHERE thread_id = $1"
        databases.run(_execute(api, aged, f"tenant-{slug}:old"))
        nothing = client.get("/v1/tenant/retention").json()["data"]
        assert (nothing["retention_days"], nothing["threads"], nothing["due"]) == (None, 2, 0)
        asked = client.get("/v1/tenant/retention", params={"retention_days": 30}).json()["data"]
        assert asked["would_delete"]["threads"] == asked["would_delete"]["unchanged"] == 1
        assert asked["would_delete"]["messages"] == 2
        for wrong in ("0", "x", "36501"):
            assert client.get("/v1/tenant/retention", params={"retention_days": wrong}).status_code == 422
    operator.text("tenant", "update", slug, "--retention-days", "39", "--keep-checkpoints", "1")
    shown = operator.json("tenant", "retention", slug)
    assert (shown["retention_days"], shown["keep_checkpoints"]) == (39, 1)
    assert shown["would_delete"] == asked["would_delete"]
    assert shown["would_forget"]["checkpoints"] > 0
    assert "would_delete threads" in operator.text("tenant", "retention", slug, "--retention-days", "39")
    assert operator.json("tenant", "retention", slug, "--retention-days", "41")["due"] == 0
    assert operator.json("tenant", "show", slug)["keep_checkpoints"] == 1
    operator.text("tenant", "update", slug, "--keep-all-checkpoints")
    assert operator.json("tenant", "show", slug)["keep_checkpoints"] is None
    with api.client(tenant) as client:
        assert len(client.get("/v1/threads").json()["data"]["threads"]) == 2


def test_a_threads_own_end(api: Api, tenant: TenantKey) -> None:
    """Set, shown, kept by runs that go on, and taken away; a time without its zone is refused."""
    at = datetime(2031, 5, 1, 12, tzinfo=UTC)
    with api.client(tenant) as client:
        client.post("/v1/graph/invoke", json=say("hello", "t"))

        def expiry() -> str | None:
            found: str | None = client.get("/v1/threads/t").json()["data"]["thread_data"]["thread"][
                "expires_at"
            ]
            return found

        assert expiry() is None
        for wrong in (at.timestamp(), "2031-05-01T12:00:00", "soon"):
            assert client.patch("/v1/threads/t", json={"expires_at": wrong}).status_code == 422
        assert client.patch("/v1/threads/t", json={"expires_at": at.isoformat()}).status_code == 200
        client.post("/v1/graph/invoke", json=say("hello again", "t"))
        kept = expiry()
        assert kept is not None
        assert datetime.fromisoformat(kept) == at
        past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        client.patch("/v1/threads/t", json={"expires_at": past})
        assert client.get("/v1/tenant/retention").json()["data"]["would_delete"]["expired"] == 1
        assert client.patch("/v1/threads/t", json={"expires_at": None}).status_code == 200
        assert expiry() is None
