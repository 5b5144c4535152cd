"""Kept answers while a user is forgotten: those about them go, and everybody else's are replayed."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_hosting.idempotency import OPERATOR, Answer, Claim, IdempotencyKeys
from agentflow_tenancy import Tenant
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportRepository, NewExport
from agentflow_tenancy.offboarding.statements import statement
from tests.integration.offboarding.conftest import Connection
from tests.support.leaving import offboarded, runner_of, write_thread

# What any answer has among its fields and values.
WORDS = ["message", "data", "role", "user"]
# Ids that JSON texts write in another way than they are.
ESCAPED = ['say "hi"', "back\\slash", "tab\tand\x7f", "ümlaut", "50%_off"]


async def answered(keys: IdempotencyKeys, tenant_id: uuid.UUID, key: str, data: Any) -> Claim:
    """Kept in the form of the service's answers."""
    claim = await keys.claim(tenant_id, key, b"asked")
    assert isinstance(claim, Claim)
    body = {"data": data, "metadata": {"message": "OK"}}
    await keys.answer(claim, 200, json.dumps(body, ensure_ascii=False, separators=(",", ":")))
    return claim


async def replayed(keys: IdempotencyKeys, tenant_id: uuid.UUID, names: list[str]) -> list[str]:
    """The keys that still have their answer; the others are claimed anew."""
    found = {name: await keys.claim(tenant_id, name, b"asked") for name in names}
    return [name for name, one in found.items() if isinstance(one, Answer)]


async def forget(engine: AsyncEngine, tenant: Tenant, user_id: str) -> None:
    done = await offboarded(engine, tenant, runner_of(engine), user_id=user_id)
    assert (done.state, done.error) == ("purged", None)


@pytest.mark.parametrize("user_id", WORDS + ESCAPED)
async def test_only_what_names_the_user(
    engine: AsyncEngine, tenant: Tenant, neighbour: Tenant, user_id: str
) -> None:
    """By the field that says so, whatever else is written in the same letters; others have the name too."""
    keys = IdempotencyKeys(engine)
    chat = {"thread_id": "of another", "messages": [{"role": "user", "content": f'"user_id":"{user_id}"'}]}
    listed: list[tuple[uuid.UUID, str, Any]] = [
        (tenant.tenant_id, "theirs", {"export": {"thread_id": None, "user_id": user_id}}),
        (tenant.tenant_id, "chat", chat),
        (tenant.tenant_id, "alike", {"user_id": f"{user_id}s", "name": user_id, "user": user_id}),
        (neighbour.tenant_id, "namesake", {"user_id": user_id}),
        (OPERATOR, "theirs", {"tenant_id": str(tenant.tenant_id), "user_id": user_id}),
        (OPERATOR, "by slug", {"slug": tenant.slug, "user_id": user_id}),
        (OPERATOR, "tenant", {"tenant_id": str(tenant.tenant_id), "name": user_id, "slug": tenant.slug}),
        (OPERATOR, "namesake", {"tenant_id": str(neighbour.tenant_id), "user_id": user_id}),
        (OPERATOR, "neighbour", {"slug": neighbour.slug, "user_id": user_id}),
    ]
    for tenant_id, name, data in listed:
        await answered(keys, tenant_id, name, data)

    await forget(engine, tenant, user_id)

    assert await replayed(keys, tenant.tenant_id, ["theirs", "chat", "alike"]) == ["chat", "alike"]
    assert await replayed(keys, neighbour.tenant_id, ["namesake"]) == ["namesake"]
    operators = [name for tenant_id, name, _ in listed if tenant_id == OPERATOR]
    assert await replayed(keys, OPERATOR, operators) == ["tenant", "namesake", "neighbour"]


@pytest.mark.parametrize("thread_id", WORDS + ESCAPED)
async def test_only_what_is_about_their_threads(
    engine: AsyncEngine, checkpointer: PgCheckpointer, tenant: Tenant, neighbour: Tenant, thread_id: str
) -> None:
    """By the field too, of several threads at once."""
    for name in (thread_id, "second"):
        scope = Scope(tenant.tenant_id, tenant.placement, principal="u1")
        await write_thread(checkpointer, scope, f"tenant-{tenant.slug}:{name}", "x", versions=1)
    keys = IdempotencyKeys(engine)
    about = {"meta": {"thread_id": thread_id}, "messages": [{"role": "user"}]}
    await answered(keys, tenant.tenant_id, "first", about)
    await answered(keys, tenant.tenant_id, "second", {"thread_id": "second", "checkpoint": 1})
    both = [{"thread_id": "of another"}, {"thread_id": thread_id}]
    await answered(keys, tenant.tenant_id, "both", {"threads": both})
    other = {"thread_id": "of another", "name": thread_id, "messages": [{"role": "user"}]}
    await answered(keys, tenant.tenant_id, "other", other)
    await answered(keys, tenant.tenant_id, "alike", {"thread_id": f"{thread_id}s"})
    await answered(keys, neighbour.tenant_id, "namesake", about)

    await forget(engine, tenant, "u1")

    names = ["first", "second", "both", "other", "alike"]
    assert await replayed(keys, tenant.tenant_id, names) == ["other", "alike"]
    assert await replayed(keys, neighbour.tenant_id, ["namesake"]) == ["namesake"]


async def test_an_export_of_theirs_by_the_operator(
    engine: AsyncEngine, tenant: Tenant, neighbour: Tenant
) -> None:
    """Such an answer does not say which tenant it is about; the export's own id does."""
    keys = IdempotencyKeys(engine)
    exports = ExportRepository(engine)
    for of in (tenant, neighbour):
        export_id = uuid.uuid4()
        await exports.request_export(of, NewExport(export_id, user_id="u1"), actor=SYSTEM)
        data = {"export": {"export_id": str(export_id), "user_id": "u1"}}
        await answered(keys, OPERATOR, of.slug, data)
    await forget(engine, tenant, "u1")
    assert await replayed(keys, OPERATOR, [tenant.slug, neighbour.slug]) == [neighbour.slug]


async def test_an_export_of_their_thread_by_the_operator(
    engine: AsyncEngine, checkpointer: PgCheckpointer, tenant: Tenant, neighbour: Tenant
) -> None:
    """The answer names the thread, and the export whose it is."""
    keys = IdempotencyKeys(engine)
    exports = ExportRepository(engine)
    for of, thread_id in ((tenant, "t"), (tenant, "of another"), (neighbour, "t")):
        scope = Scope(of.tenant_id, of.placement, principal="u2" if thread_id == "of another" else "u1")
        await write_thread(checkpointer, scope, f"tenant-{of.slug}:{thread_id}", "x", versions=1)
        export_id = uuid.uuid4()
        await exports.request_export(of, NewExport(export_id, thread_id=thread_id), actor=SYSTEM)
        data = {"export": {"export_id": str(export_id), "thread_id": thread_id}}
        await answered(keys, OPERATOR, f"{of.slug} {thread_id}", data)
    await forget(engine, tenant, "u1")
    kept = [f"{tenant.slug} of another", f"{neighbour.slug} t"]
    assert await replayed(keys, OPERATOR, [f"{tenant.slug} t", *kept]) == kept


async def test_who_works_meanwhile(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant, neighbour: Tenant
) -> None:
    """They go on: a claim is held as before, a refusal frees its key, and others' answers are kept."""
    scope = Scope(tenant.tenant_id, tenant.placement, principal="u1")
    await write_thread(checkpointer, scope, f"tenant-{tenant.slug}:t", "x", versions=1)
    keys = IdempotencyKeys(engine)
    claims: dict[str, Claim] = {}
    for tenant_id, name in (
        (tenant.tenant_id, "refused"), (tenant.tenant_id, "held"), (tenant.tenant_id, "run"),
        (neighbour.tenant_id, "neighbour"), (OPERATOR, "operators"),
    ):  # fmt: skip
        found = await keys.claim(tenant_id, name, b"asked")
        assert isinstance(found, Claim)
        claims[name] = found
    await add_run(owner, tenant, claims["run"].effect_id, "another", "of another")
    export = NewExport(claims["operators"].effect_id)
    await ExportRepository(engine).request_export(neighbour, export, actor=SYSTEM)

    await forget(engine, tenant, "u1")

    for name in ("run", "neighbour", "operators"):
        await keys.answer(claims[name], 200, f'{{"name":"{name}"}}')
        assert isinstance(await keys.claim(claims[name].tenant_id, name, b"asked"), Answer), name
    await keys.let_go(claims["refused"], nothing_done=True)
    again = await keys.claim(tenant.tenant_id, "refused", b"asked for something else")
    assert isinstance(again, Claim)
    assert again.since is None
    await held_on(owner, keys, claims["held"])


async def test_a_run_of_another_on_their_thread(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """Its answer tells of the thread: it is not kept, and who asks again goes on at once."""
    stored = f"tenant-{tenant.slug}:t"
    scope = Scope(tenant.tenant_id, tenant.placement, principal="u1")
    await write_thread(checkpointer, scope, stored, "x", versions=1)
    keys = IdempotencyKeys(engine)
    claim = await keys.claim(tenant.tenant_id, "k", b"asked")
    assert isinstance(claim, Claim)
    await add_run(owner, tenant, claim.effect_id, "another", stored)
    await forget(engine, tenant, "u1")
    await keys.answer(claim, 200, '{"thread_id":"t"}')
    again = await keys.claim(tenant.tenant_id, "k", b"asked")
    assert isinstance(again, Claim)
    assert (again.effect_id, again.since is not None) == (claim.effect_id, True)
    await keys.answer(claim, 200, '{"thread_id":"t"}')  # late, from the first attempt
    await keys.answer(again, 200, '{"name":"again"}')
    found = await keys.claim(tenant.tenant_id, "k", b"asked")
    assert isinstance(found, Answer)
    assert found.body == '{"name":"again"}'


async def test_each_answer_is_read_once(engine: AsyncEngine, owner: Connection, tenant: Tenant) -> None:
    """However many threads go at once: an answer may be long, and is compressed where it is kept."""
    keys = IdempotencyKeys(engine)
    for number in range(20):
        await answered(keys, tenant.tenant_id, str(number), {"thread_id": f"kept-{number}"})
    threads = [f"gone-{number}" for number in range(512)]
    asked = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement('forget_answers')}"
    [plan] = json.loads(await owner.fetchval(asked, tenant.tenant_id, threads, None))
    reads = [node for node in nodes_of(plan["Plan"]) if node.get("Function Name") == "string_to_table"]
    assert [node["Actual Loops"] for node in reads] == [20]


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from nodes_of(below)


async def add_run(owner: Connection, tenant: Tenant, run_id: uuid.UUID, user_id: str, stored: str) -> None:
    await owner.execute(
        "INSERT INTO agentflow_runs (tenant_id, run_id, thread_id, user_id, key_id, agent, kind, strategy,"
        " status, input, attempts, started_at, finished_at)"
        " VALUES ($1, $2, $3, $4, 'k', 'echo', 'background', 'enqueue', 'success', 'x', 1, now(), now())",
        tenant.tenant_id, run_id, stored, user_id,
    )  # fmt: skip


async def held_on(owner: Connection, keys: IdempotencyKeys, claim: Claim) -> None:
    """Until a beat of the claim's holder has been stored."""
    held = "SELECT held_until FROM agentflow_idempotency WHERE tenant_id = $1 AND key = $2"
    before = await owner.fetchval(held, claim.tenant_id, claim.key)
    async with asyncio.timeout(60), keys.holding(claim):
        while await owner.fetchval(held, claim.tenant_id, claim.key) == before:  # noqa: ASYNC110 - a beat tells
            await asyncio.sleep(0.05)
