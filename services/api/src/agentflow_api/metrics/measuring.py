"""What a process of the API is measured by, beside its spans."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.pool import connections_of, watch_pool
from agentflow_hosting.trace_collector import TraceCollector
from agentflow_telemetry import DegradedGauge, Metrics, PoolMetrics


async def measured(
    metrics: Metrics | None,
    engine: AsyncEngine,
    modes: Mapping[str, Callable[[], bool]],
    collector: TraceCollector | None,
) -> AsyncExitStack:
    """Measure from now on, and answer other processes of the API; until what is given is closed.

    Args:
        metrics: Told what there is; None measures nothing.
        engine: Its pool is watched.
        modes: What the process may do without, by name: whether it does now.
        collector: May give up runs.
    """
    stack = AsyncExitStack()
    if metrics is not None:
        stack.callback(DegradedGauge(modes, metrics.registry).close)
        watch_pool(engine, PoolMetrics(lambda: connections_of(engine), metrics.registry).waited)
        if collector is not None:
            metrics.drops("stored_runs", lambda: collector.dropped)
        await metrics.serve()
        stack.push_async_callback(metrics.aclose)
    return stack
