"""Webhooks: told once it is over, signed, again until somebody heard it, and nowhere they should not go."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow_hosting import webhooks
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import NewRun, RunRecord
from agentflow_hosting.webhook_sender import WebhookSender, WebhookUrlError, check_webhook_url
from agentflow_hosting.webhook_signatures import signed_headers, webhook_secret
from agentflow_hosting.webhooks import MOST_ATTEMPTS, Webhooks, retry_after_s
from agentflow_tenancy import Tenant, TenantRepository
from tests.support import databases
from tests.support.webhook_server import Call, WebhookServer, verified, webhook_server

PEPPER = b"p" * 32


@pytest.fixture
async def operator(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def runs(migrated_database_url: str) -> AsyncIterator[RunRepository]:
    engine = create_async_engine(databases.app_url(migrated_database_url))
    yield RunRepository(engine, lease_s=30)
    await engine.dispose()


@pytest.fixture
async def acme(operator: AsyncEngine) -> Tenant:
    return await TenantRepository(operator).create_tenant(f"t-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with webhook_server() as serving:
        yield serving


@asynccontextmanager
async def delivering(
    engine: AsyncEngine, *, allow_private: bool = True, every_s: float = 0.05
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    sender = WebhookSender(allow_private=allow_private)
    task = asyncio.create_task(Webhooks(engine, PEPPER, sender, retry_every_s=every_s).run(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task


async def over(
    runs: RunRepository, tenant: Tenant, webhook: str, error: dict[str, Any] | None = None
) -> RunRecord:
    """A run that has just ended."""
    new = NewRun(
        tenant.tenant_id,
        uuid.uuid4(),
        f"tenant-{tenant.slug}:chat",
        None,
        "key",
        "memory",
        {},
        webhook=webhook,
    )
    made = await runs.create(new, holder=uuid.uuid4())
    assert made is not None
    ended = await runs.end(made[0], "error" if error else "success", error)
    assert ended is not None
    return ended


async def called(server: WebhookServer) -> Call:
    return await asyncio.to_thread(server.called)


async def settled(runs: RunRepository, run: RunRecord, attempts: int) -> RunRecord:
    """The run, once its address was told so often."""
    async with asyncio.timeout(30):
        while True:
            now = await runs.get(run.tenant_id, run.run_id)
            assert now is not None
            if now.webhook_attempts >= attempts:
                return now
            await asyncio.sleep(0.01)


async def left(engine: AsyncEngine) -> int:
    """Tickets that are still to be worked on."""
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(
            "SELECT count(*) FROM agentflow_pgqueuer WHERE entrypoint = 'webhook'"
        )
        return int(found.scalar_one())


async def none_left(engine: AsyncEngine) -> None:
    async with asyncio.timeout(30):
        while await left(engine):  # noqa: ASYNC110 - the database is looked at
            await asyncio.sleep(0.01)


async def test_an_address_is_told(
    operator: AsyncEngine, runs: RunRepository, acme: Tenant, server: WebhookServer
) -> None:
    """Once, what a GET of the run would say, with a signature that the documented recipe finds good."""
    run = await over(runs, acme, f"{server.url}/hook?a=b", {"code": "X", "message": "y"})
    async with delivering(operator):
        call = await called(server)
        now = await settled(runs, run, 1)
        await none_left(operator)
    assert call.path == "/hook?a=b"
    assert call.headers["content-type"] == "application/json"
    assert call.headers["webhook-id"] == str(run.run_id)
    assert verified(webhook_secret(PEPPER, acme.tenant_id), call)
    assert not verified(webhook_secret(PEPPER, uuid.uuid4()), call)
    assert call.data["type"] == "run.completed"
    told = call.data["data"]
    assert (told["run_id"], told["thread_id"], told["status"]) == (str(run.run_id), "chat", "error")
    assert told["error"] == {"code": "X", "message": "y"}
    assert "webhook_status" not in told
    assert call.data["timestamp"] == told["finished_at"]
    assert (now.webhook_answer, now.webhook_error) == (200, None)
    assert now.webhook_delivered_at is not None
    assert server.calls.empty()


async def test_a_run_that_is_cancelled_before_it_begins(
    operator: AsyncEngine, runs: RunRepository, acme: Tenant, server: WebhookServer
) -> None:
    """Is over, too; one that waits is not told of."""
    new = NewRun(
        acme.tenant_id, uuid.uuid4(), "t", None, "key", "memory", {}, webhook=server.url, after_s=3600
    )
    made = await runs.create(new)
    assert made is not None
    assert await left(operator) == 0
    await runs.cancel(acme.tenant_id, new.run_id, "interrupt")
    async with delivering(operator):
        assert (await called(server)).data["data"]["status"] == "cancelled"


async def test_again_until_it_is_heard(operator: AsyncEngine, runs: RunRepository, acme: Tenant) -> None:
    """The same words under the same id, each time signed anew; a redirect is not followed."""
    with webhook_server(500, 302, 429) as server:
        run = await over(runs, acme, server.url)
        async with delivering(operator):
            calls = [await called(server) for _ in range(4)]
            now = await settled(runs, run, 4)
            await none_left(operator)
        assert server.calls.empty()
    assert len({call.body for call in calls}) == 1
    assert {call.headers["webhook-id"] for call in calls} == {str(run.run_id)}
    assert {call.path for call in calls} == {"/"}
    assert all(verified(webhook_secret(PEPPER, acme.tenant_id), call) for call in calls)
    assert (now.webhook_answer, now.webhook_error, now.webhook_attempts) == (200, None, 4)


async def test_given_up(operator: AsyncEngine, runs: RunRepository, acme: Tenant) -> None:
    """After so many attempts; what happened last is told by the run."""
    with webhook_server(*[503] * 50) as server:
        run = await over(runs, acme, server.url)
        async with delivering(operator, every_s=0.0):
            now = await settled(runs, run, MOST_ATTEMPTS)
            await none_left(operator)
        assert server.calls.qsize() == MOST_ATTEMPTS
    assert (now.webhook_answer, now.webhook_error, now.webhook_delivered_at) == (503, "answered 503", None)


async def test_gone_is_believed(operator: AsyncEngine, runs: RunRepository, acme: Tenant) -> None:
    """Who answers 410 is not asked again."""
    with webhook_server(410) as server:
        run = await over(runs, acme, server.url)
        async with delivering(operator):
            now = await settled(runs, run, 1)
            await none_left(operator)
    assert (now.webhook_answer, now.webhook_delivered_at) == (410, None)


async def test_nobody_answers(
    operator: AsyncEngine, runs: RunRepository, acme: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again; neither the log nor the run's record repeats what the address holds."""
    with webhook_server() as server:
        url = f"{server.url}/token-of-the-tenant"
    caplog.set_level(logging.DEBUG)
    run = await over(runs, acme, url)
    async with delivering(operator):
        now = await settled(runs, run, 2)
    assert now.webhook_answer is None
    assert now.webhook_error == "no answer (ConnectError)"
    ours = [
        record.getMessage() for record in caplog.records if record.name.startswith(("agentflow", "pgqueuer"))
    ]
    assert "token-of-the-tenant" not in "".join(ours)
    assert webhook_secret(PEPPER, acme.tenant_id) not in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "10.0.0.1"])
async def test_private_addresses_are_not_told(
    operator: AsyncEngine, runs: RunRepository, acme: Tenant, host: str
) -> None:
    """Unless this deployment allows it; nothing is sent there, and the run says why."""
    run = await over(runs, acme, f"https://{host}/latest/meta-data")
    async with delivering(operator, allow_private=False):
        now = await settled(runs, run, 1)
    assert now.webhook_answer is None
    assert now.webhook_error == "the address is not one on the public internet"


async def test_a_suspended_tenant_is_not_told(
    operator: AsyncEngine, runs: RunRepository, acme: Tenant, server: WebhookServer
) -> None:
    """Nor are runs that were deleted; their tickets end."""
    await over(runs, acme, server.url)
    await TenantRepository(operator).set_state(acme.tenant_id, "suspended")
    async with delivering(operator):
        await none_left(operator)
    assert server.calls.empty()


async def test_one_that_hangs_keeps_nobody_waiting(
    operator: AsyncEngine, runs: RunRepository, acme: Tenant, server: WebhookServer
) -> None:
    """A tenant has its share of the places, and no more."""
    other = await TenantRepository(operator).create_tenant(f"t-{uuid.uuid4().hex[:12]}")
    with webhook_server() as hangs:
        hangs.go_on.clear()
        for _ in range(30):
            await over(runs, acme, hangs.url)
        async with delivering(operator):
            for _ in range(4):
                await called(hangs)
            await over(runs, other, server.url)
            assert (await called(server)).data["type"] == "run.completed"
            assert hangs.calls.empty()
            hangs.go_on.set()


async def test_the_database_is_away_for_a_moment(
    operator: AsyncEngine,
    runs: RunRepository,
    acme: Tenant,
    server: WebhookServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was told and could not be noted is told again, under the same id."""
    monkeypatch.setattr(webhooks, "_COME_BACK_S", 0.05)
    server.go_on.clear()
    run = await over(runs, acme, server.url)
    async with delivering(operator):
        first = await called(server)
        async with operator.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE agentflow_runs RENAME TO agentflow_hidden")
        server.go_on.set()
        await asyncio.to_thread(server.go_on.wait)
        async with asyncio.timeout(30):
            while not await _retried(operator):  # noqa: ASYNC110 - the database is looked at
                await asyncio.sleep(0.01)
        async with operator.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE agentflow_hidden RENAME TO agentflow_runs")
        second = await called(server)
        now = await settled(runs, run, 1)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert now.webhook_delivered_at is not None


async def _retried(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql("SELECT coalesce(max(attempts), 0) FROM agentflow_pgqueuer")
        return int(found.scalar_one()) > 0


def test_attempts_spread_over_a_day() -> None:
    """The first ones soon, the last one within a day and a bit."""
    waits = [retry_after_s(attempt) for attempt in range(1, MOST_ATTEMPTS)]
    assert 4 <= waits[0] <= 6
    assert 18 * 3600 < sum(waits) < 28 * 3600


def test_the_signature_of_the_standard() -> None:
    """The example that https://www.standardwebhooks.com gives."""
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "ftp://example.com",
        "https://",
        "https://u:p@example.com",
        "https://e.com/#x",
        "x",
        "https://a b",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    """Are refused when a run is asked for."""
    with pytest.raises(WebhookUrlError):
        check_webhook_url(url, allow_private=False)


async def test_the_schema_ties_deliveries_to_ends(
    migrated_database_url: str, runs: RunRepository, acme: Tenant
) -> None:
    """A run that is not over, or has no address, was told to nobody."""
    new = NewRun(acme.tenant_id, uuid.uuid4(), "t", None, "key", "memory", {}, webhook="https://example.com")
    await runs.create(new)
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(
                "UPDATE agentflow_runs SET webhook_attempts = 1, webhook_tried_at = now()"
            )
    finally:
        await connection.close()
