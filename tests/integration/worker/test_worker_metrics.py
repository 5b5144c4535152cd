"""The worker's own metrics: what the database holds, and who may read it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.errors import StoreUnavailableError
from agentflow_hosting.gauge_repository import GaugeRepository
from agentflow_telemetry import Metrics
from agentflow_telemetry.endpoint import MetricsEndpoint
from agentflow_tenancy import TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.moves import OperationRepository
from agentflow_worker.gauge_reader import GaugeReader
from agentflow_worker.metrics_settings import MetricsSettings, read_metrics_settings
from tests.support.api import Api, free_port, running, running_api, say
from tests.support.spans import families, lines, value
from tests.support.waiting import soon
from tests.support.worker import running_worker

TOKEN = "t" * 32


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


async def test_gauges(owner: AsyncEngine) -> None:
    """Of tenants, partitions and long work, as they are when it looks."""
    metrics = Metrics("agentflow-worker")
    reader = GaugeReader(GaugeRepository(owner), metrics.facts, most_tenants=2)
    metrics.registry.register(reader)
    assert "agentflow_tenant_bytes" not in (await metrics.page()).text
    tenants = [await TenantRepository(owner).create_tenant(f"tenant-{number}") for number in range(4)]
    await OperationRepository(owner).request(tenants[0], None, actor=SYSTEM)
    await reader.look()
    found = families((await metrics.page()).text)
    named = [line.labels["agentflow_tenant_id"] for line in lines(found, "agentflow_tenant_bytes")]
    assert len(named) == 3
    assert named[-1] == "__other__"
    assert {line.labels["agentflow_tenant_id"] for line in lines(found, "agentflow_tenant_info")} == set(
        named[:2]
    )
    assert value(found, "agentflow_operations", kind="promote", state="queued") == 1
    assert value(found, "agentflow_runs_queued") == value(found, "agentflow_runs_active") == 0
    assert value(found, "agentflow_run_queue_age_seconds") == 0
    assert value(found, "agentflow_stored_spans_bytes") > 0
    placements = {line.labels["placement"] for line in lines(found, "agentflow_partition_bytes")}
    assert placements >= {str(number) for number in range(1, 9)}
    assert value(found, "agentflow_partition_bytes", placement="1") > 0
    assert len(lines(found, "agentflow_partition_rows")) == len(placements)


async def test_nothing_is_told_while_postgres_is_away(owner: AsyncEngine) -> None:
    """A number of an hour ago would look like one of now."""
    down = create_async_engine("postgresql+asyncpg://u:p@127.0.0.1:1/x")
    metrics = Metrics("agentflow-worker")
    reader = GaugeReader(GaugeRepository(owner), metrics.facts, most_tenants=2)
    metrics.registry.register(reader)
    await reader.look()
    assert "agentflow_partition_bytes" in (await metrics.page()).text
    reader._repository = GaugeRepository(down)
    with pytest.raises(StoreUnavailableError):
        await reader.look()
    await down.dispose()
    assert "agentflow_partition_bytes" not in (await metrics.page()).text


def test_the_endpoint() -> None:
    """One path, for who has the token."""
    endpoint = MetricsEndpoint(Metrics("agentflow-worker"), "127.0.0.1", 0, TOKEN)
    try:
        base = f"http://127.0.0.1:{endpoint.port}"
        good = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{base}/metrics", headers=good).status_code == 200
        assert httpx.get(f"{base}/metrics?name[]=x", headers=good).status_code == 200
        assert httpx.get(f"{base}/other", headers=good).status_code == 404
        for headers in ({}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}x"}):
            assert httpx.get(f"{base}/metrics", headers=headers).status_code == 401
    finally:
        endpoint.close()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AGENTFLOW_METRICS_PORT": "x"}, "must be a port"),
        ({"AGENTFLOW_METRICS_PORT": "70000"}, "must be a port"),
        ({"AGENTFLOW_METRICS_PORT": "1", "AGENTFLOW_METRICS_HOST": "0.0.0.0"}, "AGENTFLOW_OPERATOR_TOKEN"),
        ({"AGENTFLOW_METRICS_PORT": "1", "AGENTFLOW_OPERATOR_TOKEN": "short"}, "32 characters"),
    ],
)
def test_wrong_settings_are_told(environment: dict[str, str], words: str) -> None:
    """Nothing is offered to the network without a token."""
    with pytest.raises(ValueError, match=words):
        read_metrics_settings(environment)


def test_settings() -> None:
    """Off unless asked for; on this machine unless said otherwise."""
    assert read_metrics_settings({"AGENTFLOW_METRICS_HOST": "0.0.0.0"}) is None
    assert read_metrics_settings({"AGENTFLOW_METRICS_PORT": "9100"}) == MetricsSettings(9100)
    given = {
        "AGENTFLOW_METRICS_PORT": "9100",
        "AGENTFLOW_METRICS_HOST": "0.0.0.0",
        "AGENTFLOW_OPERATOR_TOKEN": TOKEN,
    }
    assert read_metrics_settings(given) == MetricsSettings(9100, "0.0.0.0", TOKEN)


def test_a_run_in_the_background(migrated_database_url: str, redis_url: str) -> None:
    """The worker counts the spans of the runs that it carries out, and tells how it stands."""
    api = Api(migrated_database_url, redis_url)
    port = str(free_port())
    environment = {**api.environment, "AGENTFLOW_METRICS_PORT": port}
    url = f"http://127.0.0.1:{port}/metrics"
    headers = {"Authorization": f"Bearer {api.operator_token}"}
    with running(api), running_worker(migrated_database_url, redis_url, **environment):
        tenant = api.tenant()
        with api.client(tenant) as client:
            made = client.post("/a/echo/v1/threads/background/runs", json=say("hi", None))
            assert made.status_code == 202, made.text

        def counted() -> bool:
            try:
                page = httpx.get(url, headers=headers)
            except httpx.HTTPError:
                return False
            found = families(page.text)
            return (
                value(found, "traces_span_metrics_calls_total", service_name="agentflow-worker") > 0
                and value(found, "agentflow_tenant_threads") >= 1
                and "agentflow_retention_deleted_threads" in found
                and "agentflow_pool_wait_seconds" in found
            )

        soon(counted, within_s=60)


def test_a_move_by_a_worker_without_runs(migrated_database_url: str, redis_url: str) -> None:
    """One that only moves, sweeps and rolls up tells what it does, too."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    with (
        running_api(migrated_database_url, redis_url) as api,
        running_worker(migrated_database_url, redis_url, AGENTFLOW_METRICS_PORT=str(port)),
        api.operator() as operator,
    ):
        slug = api.tenant().tenant.slug
        asked = operator.post(f"/v1/admin/tenants/{slug}/placement", json={"placement": "dedicated"})
        assert asked.status_code == 202, asked.text

        def counted() -> bool:
            try:
                found = families(httpx.get(url).text)
            except httpx.HTTPError:
                return False
            return value(found, "traces_span_metrics_calls_total", span_name="tenant.promote") > 0

        soon(counted, within_s=60)
