"""Tokens that models reported, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from agentflow_telemetry import names
from agentflow_telemetry.prices import Prices

_TOKENS: Final = "agentflow_tokens"
_COST: Final = "agentflow_cost_usd"


class TokenCounts:
    """Tokens by tenant and model. Not safe for several threads at once: who uses it has a lock."""

    def __init__(self, prices: Prices | None = None) -> None:
        """Nothing is counted yet; models without a price cost nothing that is told."""
        self._prices = prices or {}
        self._counts: dict[tuple[str, str], list[int]] = {}

    def add(self, tenant: str, model: str, said: Mapping[str, Any]) -> None:
        """A call of a model, with what its span says."""
        tokens = self._counts.setdefault((tenant, model), [0, 0])
        tokens[0] += _whole(said.get(names.TOKENS_IN))
        tokens[1] += _whole(said.get(names.TOKENS_OUT))

    def keep(self, tenants: set[str]) -> None:
        """Forget what other tenants used."""
        self._counts = {key: tokens for key, tokens in self._counts.items() if key[0] in tenants}

    def collect(self) -> Iterable[Metric]:
        """What was counted so far."""
        tokens = Metric(_TOKENS, "Tokens that models reported.", "counter")
        cost = Metric(_COST, "What they cost, by AGENTFLOW_MODEL_PRICES.", "counter")
        for (tenant, model), (into, out) in self._counts.items():
            labels = {"agentflow_tenant_id": tenant, "gen_ai_request_model": model}
            for kind, count in (("input", into), ("output", out)):
                found = Sample(f"{_TOKENS}_total", {**labels, "gen_ai_token_type": kind}, count)
                tokens.samples.append(found)
            price = self._prices.get(model)
            if price is not None:
                cost.samples.append(Sample(f"{_COST}_total", labels, price.of(into, out)))
        return [tokens, cost]


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
