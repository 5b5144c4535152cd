"""Tenants' latency by themselves, and while another one sends 20 times its limit at the same process."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from tests.benchmarks.bench import Bench
from tests.benchmarks.limited_api import LIMITS
from tests.benchmarks.raw_http import RawHttp
from tests.support import databases
from tests.support.api import Api, TenantKey
from tests.support.run import ROOT

PER_SECOND = 10
TIMES = 20
NEIGHBOURS = 4
# A p99 of fewer requests would be a handful of them.
WINDOWS = 8
FLOODED = "flood"


class LimitedApi(Api):
    """See `limited_api`."""

    module = "tests.benchmarks.limited_api"


async def measure_neighbours(bench: Bench) -> None:
    """In turn, with an invoke of an agent of one node: p50 and p99 of clients that wait for each answer."""
    times: dict[str, list[list[float]]] = {"alone": [], "flooded": []}
    async with _migrated(bench) as url:
        limits = {FLOODED: {"requests_per_minute": 60 * PER_SECOND, "burst": PER_SECOND}}
        environment = {LIMITS: json.dumps(limits), "PYTHONPATH": str(ROOT)}
        api = LimitedApi(url, bench.redis_url, **environment)
        api.start()
        try:
            names = [f"neighbour-{number}" for number in range(NEIGHBOURS)]
            neighbours = [await asyncio.to_thread(api.tenant, name) for name in names]
            flooding = await asyncio.to_thread(api.tenant, FLOODED)
            await _ask_all(api, neighbours, bench.sizes.seconds)
            for _ in range(bench.sizes.rounds):
                times["alone"].append(await _ask_all(api, neighbours, WINDOWS * bench.sizes.seconds))
                with _flooded(api, flooding) as flood:
                    await asyncio.to_thread(_until_refused, flood)
                    times["flooded"].append(await _ask_all(api, neighbours, WINDOWS * bench.sizes.seconds))
        finally:
            api.stop()
    _add(bench, times)


def _add(bench: Bench, times: dict[str, list[list[float]]]) -> None:
    report = bench.report
    p99 = {name: [_at(taken, 0.99) for taken in of] for name, of in times.items()}
    p50 = {name: [_at(taken, 0.5) for taken in of] for name, of in times.items()}
    report.add("neighbours.alone", f"an invoke, p99, {NEIGHBOURS} tenants alone", "ms", p99["alone"])
    flood = f"while another tenant sends {TIMES} x its limit"
    report.add("neighbours.flooded", f"  {flood}", "ms", p99["flooded"])
    report.add_ratio("neighbours.flooded/alone", "  to alone", p99["flooded"], p99["alone"])
    report.add_ratio(
        "neighbours.p50/alone", f"an invoke, p50, {flood}, to alone", p50["flooded"], p50["alone"]
    )


def _at(taken: list[float], share: float) -> float:
    return sorted(taken)[int(share * len(taken))]


async def _ask_all(api: Api, tenants: list[TenantKey], seconds: float) -> list[float]:
    of_each = await asyncio.gather(*(_ask(api, tenant, seconds) for tenant in tenants))
    return [taken for of_one in of_each for taken in of_one]


async def _ask(api: Api, tenant: TenantKey, seconds: float) -> list[float]:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    # A new thread each time: a long one would grow.
    async with RawHttp(api.port, tenant.key, "") as http:
        while (start := time.perf_counter()) < until or not taken:
            assert await http.ask() == 200
            taken.append((time.perf_counter() - start) * 1000)
    return taken


def _until_refused(flood: "subprocess.Popen[bytes]") -> None:
    assert flood.stdout is not None
    assert flood.stdout.readline(), "the flood ended before it was refused"


@contextmanager
def _flooded(api: Api, tenant: TenantKey) -> Iterator["subprocess.Popen[bytes]"]:
    words = [str(api.port), tenant.key, str(TIMES * PER_SECOND)]
    flood = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.raw_http", *words],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
    )
    with flood:
        try:
            yield flood
        finally:
            flood.kill()


@asynccontextmanager
async def _migrated(bench: Bench) -> AsyncIterator[str]:
    name = databases.new_name("neighbours")
    await asyncio.to_thread(databases.create, bench.database_url, name)
    try:
        url = databases.url_of(bench.database_url, name)
        await asyncio.to_thread(databases.migrate, url)
        yield url
    finally:
        await asyncio.to_thread(databases.drop, bench.database_url, name)
