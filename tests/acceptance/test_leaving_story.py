"""A customer leaves: takes its data along, is deleted and proves it, and nobody else notices."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support import databases
from tests.support.api import Api, last_text, running_api, say
from tests.support.command import Operator
from tests.support.leaving import tables_of, texts_with
from tests.support.waiting import soon
from tests.support.worker import running_worker
from tests.support.writing import Writing

# The neighbour's requests are counted while it goes on.
COUNTED = ("agentflow_usage_",)
BUSY = "busy"
# Placed in turn over the pool's partitions.
MOST_PARTITIONS = 64


@dataclass(frozen=True)
class Customer:
    """A tenant as the operator made it."""

    tenant_id: str
    slug: str
    placement: int
    key: str


@contextmanager
def service(database_url: str, redis_url: str) -> Iterator[Api]:
    """An API and a worker, as a deployment has them."""
    with (
        running_api(database_url, redis_url) as api,
        running_worker(
            database_url,
            redis_url,
            AGENTFLOW_DATABASE_URL=databases.app_url(database_url),
            AGENTFLOW_KEY_PEPPER=api.pepper,
            AGENTFLOW_EXPORTS=str(api.exports),
        ),
    ):
        yield api


def customer(api: Api, name: str) -> Customer:
    slug = f"{name}-{secrets.token_hex(4)}"
    with api.operator() as operator:
        made = operator.post("/v1/admin/tenants", json={"slug": slug})
        assert made.status_code == 201, made.text
        found = operator.get(f"/v1/admin/tenants/{slug}").json()["data"]
    return Customer(found["tenant_id"], slug, found["placement"], made.json()["data"]["api_key"])


def beside(api: Api, other: Customer) -> Customer:
    """A customer whose rows are in the same partition."""
    for _ in range(MOST_PARTITIONS):
        found = customer(api, "neighbour")
        if found.placement == other.placement:
            return found
    raise AssertionError("nobody came into the other's partition")


def ask(client: httpx.Client, text: str, thread: str) -> str:
    return last_text(client.post("/v1/graph/invoke", json=say(text, thread)))


def looked(database_url: str, look: Any, *arguments: Any) -> Any:
    """What a look into the database by its owner finds."""

    async def once() -> Any:
        owner = await asyncpg.connect(database_url.replace("+asyncpg", ""))
        try:
            return await look(owner, *arguments)
        finally:
            await owner.close()

    return asyncio.run(once())


async def rows_but_of(owner: Any, tenant_id: str, thread: str) -> dict[str, list[str]]:
    """A tenant's rows in each table; without what is counted, and what concerns this one of its threads."""
    numbers = "SELECT thread_no FROM agentflow_threads WHERE tenant_id = $1 AND thread_id = $2"
    runs = "SELECT run_id::text FROM agentflow_runs WHERE tenant_id = $1 AND thread_id = $2"
    number = await owner.fetchval(numbers, tenant_id, thread)
    concerned = [row["run_id"] for row in await owner.fetch(runs, tenant_id, thread)]
    found = {}
    for table in await tables_of(owner):
        has = "SELECT count(*) FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'tenant_id'"
        if not await owner.fetchval(has, table) or table.startswith(COUNTED):
            continue
        rows = await owner.fetch(
            f"SELECT r - 'last_used_at' AS row FROM {table} t, to_jsonb(t) r WHERE tenant_id = $1"
            "  AND (r ->> 'thread_id' = $2) IS NOT TRUE"
            "  AND (abs((r ->> 'thread_no')::bigint) = $3) IS NOT TRUE"
            "  AND (r ->> 'run_id' = ANY ($4)) IS NOT TRUE ORDER BY 1",
            tenant_id, thread, number, concerned,
        )  # fmt: skip
        if rows:
            found[table] = [row["row"] for row in rows]
    return found


async def turns_noted(owner: Any, tenant_id: str) -> int:
    """Of how many runs it is stored what they did, which is a while later."""
    found: int = await owner.fetchval(
        "SELECT count(*) FROM agentflow_run_traces WHERE tenant_id = $1", tenant_id
    )
    return found


def texts_of(client: httpx.Client, thread: str) -> list[str]:
    answer = client.get(f"/v1/threads/{thread}/messages", headers={"accept": "application/x-ndjson"})
    assert answer.status_code == 200
    messages = [json.loads(line) for line in answer.text.splitlines()]
    return [message["content"][0]["text"] for message in messages if message["role"] == "user"]


@pytest.mark.slow
def test_a_customer_leaves(migrated_database_url: str, redis_url: str, tmp_path: Path) -> None:
    """It exports and offboards while it writes; the receipt verifies; the neighbour's are as they were.

    The archive is another tenant's then, where the conversation goes on.
    """
    url, canary = migrated_database_url, f"canary{secrets.token_hex(8)}"
    archive, receipt, keys = (tmp_path / name for name in ("acme.tar", "receipt.json", "keys.json"))
    with service(url, redis_url) as api:
        operator, leaver = Operator(api), customer(api, "acme")
        neighbour = beside(api, leaver)
        with api.with_key(leaver.key) as client:
            ask(client, "My name is Alex.", "talk")
            ask(client, f"I like {canary}.", "talk")
        with api.with_key(neighbour.key) as client:
            for thread in ("one", "two", BUSY):
                ask(client, "My name is Sara.", thread)
            soon(lambda: looked(url, turns_noted, neighbour.tenant_id) == 3, 60)
        stored = f"tenant-{neighbour.slug}:{BUSY}"
        before = looked(url, rows_but_of, neighbour.tenant_id, stored)
        assert len([table for table in before if "_p" in table]) >= 3, before.keys()

        operator.text("export", leaver.slug, "-o", str(archive))
        assert canary.encode() in archive.read_bytes()
        with ExitStack() as stack:
            late = [
                stack.enter_context(
                    Writing(api.with_key(leaver.key), canary, f"{canary}-{number}-{{}}".format)
                )
                for number in range(2)
            ]
            other = stack.enter_context(Writing(api.with_key(neighbour.key), "On and on", lambda _: BUSY))
            soon(lambda: all(len(one.codes) > 5 for one in (*late, other)), 60)
            left = json.loads(
                operator.text("tenant", "offboard", leaver.slug, "--grace-s", "0", "--watch", "--json")
            )
            so_far = len(other.codes)
            soon(lambda: all(one.codes[-1] == 410 for one in late) and len(other.codes) > so_far + 5, 60)
        assert left["state"] == "purged"
        for one in late:
            first = one.codes.index(410)
            assert (set(one.codes[:first]), set(one.codes[first:])) == ({200}, {410})
        assert set(other.codes) == {200}

        receipt.write_text(operator.text("receipt", "show", left["receipt_id"]))
        keys.write_text(httpx.get(f"{api.base_url}/.well-known/receipts-jwks.json").text)
        assert looked(url, texts_with, canary) == {}
        assert looked(url, rows_but_of, neighbour.tenant_id, stored) == before
        with api.with_key(neighbour.key) as client:
            assert texts_of(client, BUSY) == ["My name is Sara.", *other.said]
            assert "Sara" in ask(client, "What's my name?", "one")

        heir = customer(api, "heir")
        operator.text("import", heir.slug, str(archive))
        with api.with_key(heir.key) as client:
            assert texts_of(client, "talk") == ["My name is Alex.", f"I like {canary}."]
            assert "Alex" in ask(client, "What's my name?", "talk")

    # Nothing answers any more: what was kept is enough.
    alone = Operator(api, AGENTFLOW_URL="", AGENTFLOW_OPERATOR_TOKEN="")
    verified = json.loads(alone.text("receipt", "verify", str(receipt), "--jwks", str(keys), "--json"))
    assert verified["verified"] == 1
    told = verified["receipts"][0]
    assert (told["kind"], told["tenant_id"]) == ("tenant", leaver.tenant_id)
    assert leaver.slug not in receipt.read_text()
    assert canary not in receipt.read_text()
    receipt.write_text(receipt.read_text().replace(leaver.tenant_id, neighbour.tenant_id))
    assert "does not verify" in alone.refused("receipt", "verify", str(receipt), "--jwks", str(keys))
