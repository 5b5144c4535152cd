"""What is told of a tenant beside its id, so that dashboards show a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentflow_telemetry.named_tenants import NamedTenants

_LABELS: Final = ("agentflow_tenant_id", "slug", "plan", "placement")
_MOST: Final = 10_000

Facts = tuple[str, str, str]


class TenantFacts(Collector):
    """Slug, plan and placement (`pool` or `dedicated`) of tenants, told of those that are named."""

    def __init__(self, tenants: NamedTenants) -> None:
        """Nothing is known yet."""
        self._tenants = tenants
        self._facts: dict[str, Facts] = {}
        self._also: dict[str, Facts] = {}

    def know(self, tenant_id: str, slug: str, plan: str, placement: str) -> None:
        """Take note of a tenant, as it is now. Cost: a look-up."""
        if len(self._facts) < _MOST or tenant_id in self._facts:
            self._facts[tenant_id] = (slug, plan, placement)

    def tell_also(self, facts: dict[str, Facts]) -> None:
        """Tell of these tenants from now on, named or not: slug, plan and placement by id."""
        self._also = facts

    def collect(self) -> Iterable[Metric]:
        """One line for each tenant that is named."""
        family = GaugeMetricFamily("agentflow_tenant_info", "Tenants that metrics name.", labels=_LABELS)
        named = {name: self._facts[name] for name in list(self._tenants.names) if name in self._facts}
        for tenant_id, facts in {**named, **self._also}.items():
            family.add_metric([tenant_id, *facts], 1)
        return [family]
