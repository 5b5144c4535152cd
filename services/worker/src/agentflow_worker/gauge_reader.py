"""Tells what the database holds, as it was a moment ago."""

import asyncio
import logging
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentflow.errors import StorageError
from agentflow_hosting.gauge_repository import GaugeRepository, Gauges
from agentflow_hosting.tickets import rest
from agentflow_telemetry.named_tenants import OTHER
from agentflow_telemetry.tenant_facts import TenantFacts
from agentflow_tenancy.schema import placement_kind

logger = logging.getLogger("agentflow.worker")

_EVERY_S = 15.0


class GaugeReader(Collector):
    """Asks Postgres at intervals, however often somebody looks; while it does not answer nothing is told."""

    def __init__(
        self,
        repository: GaugeRepository,
        facts: TenantFacts,
        *,
        most_tenants: int,
        every_s: float = _EVERY_S,
    ) -> None:
        """Nothing is known yet.

        Args:
            repository: Of a login that sees every tenant.
            facts: Learns of the tenants that are named here.
            most_tenants: To be named, the largest; the others are one.
            every_s: Seconds between two looks.
        """
        self._repository = repository
        self._facts = facts
        self._most_tenants = most_tenants
        self._every_s = every_s
        self._found: Gauges | None = None

    async def look(self) -> None:
        """Ask once.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        try:
            found = await self._repository.read(most_tenants=self._most_tenants)
        except StorageError:
            self._found = None
            raise
        self._facts.tell_also(
            {
                str(tenant.tenant_id): (tenant.slug, tenant.plan, placement_kind(tenant.placement))
                for tenant in found.tenants
                if tenant.tenant_id is not None
            }
        )
        self._found = found

    async def run(self, stop: asyncio.Event) -> None:
        """Look now and at intervals until `stop` is set."""
        while not stop.is_set():
            try:
                await self.look()
            except StorageError as error:
                logger.warning("What the database holds is not known this time: %s", error)
            await rest(stop, self._every_s)

    def collect(self) -> Iterable[Metric]:
        """What was found last."""
        found = self._found
        return [] if found is None else [*_of_tenants(found), *_of_partitions(found), *_of_work(found)]


def _of_tenants(found: Gauges) -> Iterable[Metric]:
    label = ["agentflow_tenant_id"]
    kept = GaugeMetricFamily("agentflow_tenant_bytes", "Bytes that tenants keep.", labels=label)
    threads = GaugeMetricFamily("agentflow_tenant_threads", "Threads that tenants keep.", labels=label)
    for tenant in found.tenants:
        name = OTHER if tenant.tenant_id is None else str(tenant.tenant_id)
        kept.add_metric([name], tenant.bytes)
        threads.add_metric([name], tenant.threads)
    return kept, threads


def _of_partitions(found: Gauges) -> Iterable[Metric]:
    size = GaugeMetricFamily(
        "agentflow_partition_bytes", "Bytes of a placement's partitions, with indexes.", labels=["placement"]
    )
    rows = GaugeMetricFamily(
        "agentflow_partition_rows", "About how many rows they have.", labels=["placement"]
    )
    for partition in found.partitions:
        size.add_metric([str(partition.placement)], partition.bytes)
        rows.add_metric([str(partition.placement)], partition.rows)
    return size, rows


def _of_work(found: Gauges) -> Iterable[Metric]:
    operations = GaugeMetricFamily(
        "agentflow_operations",
        "Moves, exports and offboardings: open ones, and those that ended within a day.",
        labels=["kind", "state"],
    )
    for (kind, state), count in found.operations.items():
        operations.add_metric([kind, state], count)
    return (
        operations,
        GaugeMetricFamily("agentflow_runs_queued", "Runs that wait.", value=found.runs_queued),
        GaugeMetricFamily("agentflow_runs_active", "Runs that are worked on.", value=found.runs_active),
        GaugeMetricFamily(
            "agentflow_run_queue_age_seconds",
            "Since when the run that waits longest could begin.",
            value=found.queue_age_s,
        ),
        GaugeMetricFamily(
            "agentflow_stored_spans_bytes", "Bytes that stored spans take.", value=found.stored_spans_bytes
        ),
    )
