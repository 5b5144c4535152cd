"""What telemetry costs: the service as shipped beside one that tells nothing, and spans in a turn."""

import asyncio
import statistics
import time
import uuid

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.utils.spans import listening
from agentflow_telemetry.named_tenants import NamedTenants
from agentflow_telemetry.recorder import Recorder
from agentflow_telemetry.span_metrics import SpanMetrics
from agentflow_telemetry.token_counts import TokenCounts
from tests.benchmarks.bench import Bench
from tests.benchmarks.graph_turns import Chats, three_nodes
from tests.benchmarks.http_load import Taken
from tests.benchmarks.measures.api import LoadProcess, api_load, migrated, tenant_with_quotas
from tests.support.api import Api, TenantKey, running, say
from tests.support.run import ROOT

# Turns of each kind a second of a round: one of each after the other, so that both meet the same machine.
_TURNS_A_SECOND = 60
_OFF = {"AGENTFLOW_TELEMETRY": "off", "AGENTFLOW_STORE_TRACES": "false"}
_MESSAGES = 20
# The machine's speed drifts within seconds: a round takes short turns of both sides.
_SLICES = 6


async def measure_telemetry(bench: Bench) -> None:
    """The library in this process, then the service in processes of its own."""
    await _measure_turns(bench)
    async with migrated(bench) as url:
        await asyncio.to_thread(_measure_service, bench, url)


async def _measure_turns(bench: Bench) -> None:
    checkpointer = PgCheckpointer(bench.database_url, redis_url=bench.redis_url)
    await checkpointer.asetup()
    sdk = TracerProvider()
    sdk.add_span_processor(SpanProcessor())
    metrics = SpanMetrics("turns", TokenCounts(), NamedTenants(1, 1), exemplars=False)
    providers = {"none": None, "recorder": Recorder(Resource({}), [metrics]), "sdk": sdk}
    taken: dict[str, list[float]] = {name: [] for name in providers}
    spent: dict[str, list[float]] = {name: [] for name in providers}
    for _ in range(bench.sizes.rounds):
        medians = await _turns(checkpointer, providers, max(3, round(_TURNS_A_SECOND * bench.sizes.seconds)))
        for name, (wall, cpu) in medians.items():
            taken[name].append(wall)
            spent[name].append(cpu)
    labels = {
        "none": "p50 of a lone turn of 3 nodes, nobody listens",
        "recorder": "  spans recorded and counted as the service does",
        "sdk": "  spans recorded by OpenTelemetry's SDK, all sampled",
    }
    for name, label in labels.items():
        bench.report.add(f"telemetry.turn.{name}", label, "ms", [1000 * one for one in taken[name]])
        bench.report.add(
            f"telemetry.cpu.{name}", "    CPU of this process", "ms", [1000 * s for s in spent[name]]
        )
    for name in ("recorder", "sdk"):
        # What spans cost, of a turn: by the CPU's clock, which other work on the machine does not move.
        added = [s - none for s, none in zip(spent[name], spent["none"], strict=True)]
        parts = [1 + one / turn for one, turn in zip(added, taken["none"], strict=True)]
        bench.report.add(
            f"telemetry.turn.{name}/cpu", "  a turn with the CPU of spans, to without", "x", parts
        )
        bench.report.add_ratio(
            f"telemetry.turn.{name}/none", "  to nobody listening", taken[name], taken["none"]
        )
    await checkpointer.aclose()
    sdk.shutdown()


async def _turns(
    checkpointer: PgCheckpointer, providers: dict[str, TracerProvider | None], count: int
) -> dict[str, tuple[float, float]]:
    """Seconds of a turn, by the wall's clock and by the CPU's."""
    app = three_nodes(checkpointer)
    chats = {name: Chats(app, f"telemetry-{name}-{uuid.uuid4().hex[:8]}") for name in providers}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in providers}
    before = trace._TRACER_PROVIDER
    try:
        for _ in range(count):
            for name, provider in providers.items():
                trace._TRACER_PROVIDER = provider
                listening()  # a provider that is new makes its tracers first, once
                began, clock = time.perf_counter(), time.process_time()
                await chats[name].turn()
                times[name].append((time.perf_counter() - began, time.process_time() - clock))
    finally:
        trace._TRACER_PROVIDER = before
    return {
        name: (statistics.median(wall for wall, _ in of), statistics.median(cpu for _, cpu in of))
        for name, of in times.items()
    }


def _measure_service(bench: Bench, url: str) -> None:
    shipped = Api(url, bench.redis_url, PYTHONPATH=str(ROOT))
    silent = Api(url, bench.redis_url, PYTHONPATH=str(ROOT), **_OFF)
    with running(shipped), running(silent):
        load = LoadProcess()
        try:
            apis = {name: (api, tenant_with_quotas(api)) for name, api in (("on", shipped), ("off", silent))}
            taken = _loads(bench, load, apis)
        finally:
            load.close()
    labels = {"invoke": "invokes/s on new threads, 16 connections", "messages": "GETs/s of 20 messages, 64"}
    for name, label in labels.items():
        on, off = (taken[f"{name}.{side}"] for side in ("on", "off"))
        bench.report.add(f"telemetry.{name}.on", f"{label}, telemetry as shipped", "/s", on)
        bench.report.add(f"telemetry.{name}.off", f"{label}, telemetry off", "/s", off)
        bench.report.add_ratio(f"telemetry.{name}/off", "  as shipped / off", on, off)


def _loads(bench: Bench, load: LoadProcess, apis: dict[str, tuple[Api, TenantKey]]) -> dict[str, list[float]]:
    """Answers a second of each round."""
    taken: dict[str, list[float]] = {}
    seconds = 2 * bench.sizes.seconds / _SLICES
    for api, tenant in apis.values():
        with api.client(tenant) as client:
            for _ in range(_MESSAGES // 2):
                client.post("/a/echo/v1/graph/invoke", json=say("hello " * 20, "read")).raise_for_status()
    for _ in range(bench.sizes.rounds):
        slices: dict[str, list[Taken]] = {}
        for turn in range(_SLICES):
            # Each is the first in every other slice: what one leaves to do behind it, the next one meets.
            for side, (api, tenant) in list(apis.items())[:: -1 if turn % 2 else 1]:
                invoke = api_load(api.port, tenant, "POST", "/a/echo/v1/graph/invoke", 16, seconds)
                reads = api_load(api.port, tenant, "GET", "/v1/threads/read/messages", 64, seconds)
                slices.setdefault(f"invoke.{side}", []).append(load.send(invoke))
                slices.setdefault(f"messages.{side}", []).append(load.send(reads))
        for name, parts in slices.items():
            taken.setdefault(name, []).append(statistics.fmean(part.per_second for part in parts))
    return taken
