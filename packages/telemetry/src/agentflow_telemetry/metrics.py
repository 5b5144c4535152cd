"""Everything a process counts, and the page that tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from agentflow_telemetry.modes import Mode
from agentflow_telemetry.named_tenants import NamedTenants
from agentflow_telemetry.page import OfProcess, joined, rendered, type_of
from agentflow_telemetry.processes import Processes
from agentflow_telemetry.settings import TelemetrySettings
from agentflow_telemetry.span_metrics import SpanMetrics
from agentflow_telemetry.tenant_facts import TenantFacts
from agentflow_telemetry.token_counts import TokenCounts

# When counting began is a line more for each series, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs

# Times are a dozen lines for each route and kind of checkpoint, counts are one: of every five tenants that
# are named one has times, too, but ten in any case.
_TIMED_OF: Final = 5
_TIMED_ANYWAY: Final = 10


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """What a scraper gets."""

    text: str
    media_type: str


class Metrics(Collector):
    """The metrics of a process, and of the others of its service.

    Attributes:
        registry: Collectors of this process are registered here.
        spans: Counts spans; a processor for whoever makes them.
        facts: What is told of tenants that are named.
    """

    def __init__(
        self,
        service: str,
        *,
        settings: TelemetrySettings | None = None,
        folder: str | None = None,
    ) -> None:
        """Count from now on.

        Args:
            service: Its name in the series of spans.
            settings: See there; those of an empty environment when None.
            folder: Where processes of the service meet; None when there is one.
        """
        chosen = settings or TelemetrySettings()
        most_timed = max(_TIMED_ANYWAY, chosen.most_tenants // _TIMED_OF)
        tenants = NamedTenants(chosen.most_tenants, min(chosen.most_tenants, most_timed))
        exemplars = chosen.mode is Mode.TRACES  # else nobody finds the trace
        self.spans = SpanMetrics(service, TokenCounts(chosen.prices), tenants, exemplars=exemplars)
        self.facts = TenantFacts(tenants)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self.spans)
        self.registry.register(self.facts)
        self._processes = Processes(folder)
        self._drops = Drops(
            {
                "labels": lambda: self.spans.cut,
                "counts": lambda: self.spans.uncounted,
                "processes": lambda: self._processes.silent,
            }
        )
        self.registry.register(self._drops)
        self._told = OfProcess(self.registry, self._processes.number)

    def drops(self, what: str, count: Callable[[], int]) -> None:
        """Tell how much of something is lost, as it stands whenever somebody asks."""
        self._drops.counts[what] = count

    async def serve(self) -> None:
        """Answer the other processes from now on."""
        await self._processes.serve(self._answer)

    async def page(self, accept: str = "") -> MetricsPage:
        """What all processes of the service count.

        Args:
            accept: Header of the request: OpenMetrics, which has exemplars, or the older text.

        Cost: about 10 us a line, in a thread; two questions to each other process. Which tenants are named is
        chosen anew, alike for all processes.
        """
        question = self._choose(await self._processes.ask({}))
        others = self._processes.ask({**question, "accept": accept})
        own, *pages = await asyncio.gather(asyncio.to_thread(rendered, self._told, accept), others)
        text = own if not pages[0] else await asyncio.to_thread(joined, [own, *pages[0]])
        return MetricsPage(text, type_of(accept))

    async def aclose(self) -> None:
        """Answer the others no more."""
        await self._processes.aclose()

    def collect(self) -> Iterable[Metric]:
        """What this process counts, when it is the only one of its service."""
        self._choose([])
        return self._told.collect()

    def _choose(self, others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The tenants to be named, which this process does from now on.

        Args:
            others: What other processes could name.
        """
        told = [self._nameable(), *others]
        latest = max(told, key=lambda one: one["revision"])
        requests: dict[str, float] = {}
        for one in told:
            for tenant_id, count in one["requests"].items():
                requests[tenant_id] = requests.get(tenant_id, 0.0) + count
        # Those that others have named since are named everywhere, as far as there is room.
        before = dict.fromkeys([*latest["named"], *(name for one in told for name in one["named"])])
        named = self.spans.tenants.choose(list(before), requests)
        self.spans.choose_tenants(named, latest["revision"] + 1)
        return {"named": named, "revision": latest["revision"] + 1}

    def _answer(self, asked: Mapping[str, Any]) -> Any:
        """What another process is told: whom this one could name, or what it counts."""
        if "accept" not in asked:
            return self._nameable()
        self.spans.choose_tenants(asked["named"], asked["revision"])
        return rendered(self._told, asked["accept"])

    def _nameable(self) -> dict[str, Any]:
        self.spans.catch_up()
        tenants = self.spans.tenants
        return {"named": tenants.names, "revision": tenants.revision, "requests": self.spans.requests()}


class Drops(Collector):
    """What telemetry itself lost."""

    def __init__(self, counts: dict[str, Callable[[], int]]) -> None:
        self.counts = counts

    def collect(self) -> Iterable[Metric]:
        """Each as it stands."""
        family = Metric("agentflow_telemetry_dropped", "What telemetry lost.", "counter")
        family.samples = [
            Sample("agentflow_telemetry_dropped_total", {"what": what}, count())
            for what, count in list(self.counts.items())
        ]
        return [family]
