"""Durable checkpoints a second and the latency of one, beside the same rows as plain INSERTs."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from tests.benchmarks.bench import Bench
from tests.benchmarks.driving import Run, write_for, write_threads
from tests.benchmarks.systems.grouped_rows import GroupedRows
from tests.benchmarks.systems.ours import Ours
from tests.benchmarks.systems.rows import Rows
from tests.benchmarks.systems.system import System
from tests.benchmarks.workload import chats

Runs = dict[str, list[Run]]


async def measure_writes(bench: Bench) -> None:
    """Interleaved: in each round every system runs, one after another."""
    systems: dict[str, System] = {
        "agentflow": Ours(bench.database_url),
        "raw_delta": Rows(bench.dsn),
        "raw_group": GroupedRows(bench.dsn),
    }
    async with AsyncExitStack() as stack:
        for system in systems.values():
            await stack.enter_async_context(system)
        for writers in bench.sizes.writers:
            _add(bench, writers, await _runs(bench, systems, writers))


async def _runs(bench: Bench, systems: Mapping[str, System], writers: int) -> Runs:
    # What one thread for each writer takes tells how many fill the time; it warms statements up, too.
    rates = {name: (await _warm_up(system, writers)).per_second for name, system in systems.items()}
    runs: Runs = {name: [] for name in systems}
    for _ in range(bench.sizes.rounds):
        for name, system in systems.items():
            run = await write_for(
                system, writers=writers, seconds=bench.sizes.seconds, per_second=rates[name]
            )
            rates[name] = run.per_second
            runs[name].append(run)
    return runs


async def _warm_up(system: System, writers: int) -> Run:
    await system.reset()
    return await write_threads(system, chats(max(writers, 16)), writers=writers)


def _add(bench: Bench, writers: int, runs: Runs) -> None:
    report = bench.report
    rates = {name: [run.per_second for run in of] for name, of in runs.items()}
    p50s = {name: [run.p50_ms for run in of] for name, of in runs.items()}
    at = f"{writers} writer{'s' if writers > 1 else ''}"
    for name, of in runs.items():
        report.add(f"write.{writers}.{name}", f"checkpoints/s, {at}, {name}", "1/s", rates[name])
        report.add(f"write.{writers}.{name}.p50", f"  p50, {name}", "ms", p50s[name])
        report.add(f"write.{writers}.{name}.p95", f"  p95, {name}", "ms", [run.p95_ms for run in of])
    for reference in ("raw_delta", "raw_group"):
        key = f"write.{writers}/{reference}"
        report.add_ratio(key, f"  agentflow / {reference}", rates["agentflow"], rates[reference])
    if writers == 1:
        report.add_ratio("write.p50/raw_delta", "  p50, to raw_delta", p50s["agentflow"], p50s["raw_delta"])
