"""The API as it is shipped, beside a bare route of the same framework that answers the same bytes."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path

import httpx

from tests.benchmarks.api_idle import measure_idle_sockets, measure_idle_streams
from tests.benchmarks.api_latency import measure_background, measure_first_chunk
from tests.benchmarks.bare_api import ANSWERS
from tests.benchmarks.bench import Bench
from tests.benchmarks.http_load import Load, Taken
from tests.support import databases
from tests.support.api import READY_WITHIN_S, Api, TenantKey, free_port, running, say
from tests.support.run import ROOT

# The original server's, as measured on a machine of this class.
ORIGINAL_INVOKES = 80.0
ORIGINAL_P95_MS = 303.0
ORIGINAL_READS = 442.0

_MESSAGES = 20
_AGENTS = (
    "memory=agentflow_hosting.agents.memory:graph,echo=agentflow_hosting.agents.echo:graph,"
    "clock=tests.benchmarks.clock_agent:graph"
)
_INVOKE = json.dumps(say("hello", "bench-@"))


class LoadProcess:
    """A process that sends loads."""

    def __init__(self) -> None:
        """It starts."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.http_load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, load: Load) -> Taken:
        """Send one and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(load)) + "\n")
        self._process.stdin.flush()
        return Taken(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        with self._process:  # closes its pipes, which ends it, and waits
            pass


async def measure_api(bench: Bench) -> None:
    """Requests a second and latency; chunks and background runs; what open answers take."""
    async with migrated(bench) as url:
        api = Api(url, bench.redis_url, AGENTFLOW_AGENTS=_AGENTS, PYTHONPATH=str(ROOT))
        # Each on a process that did nothing else: what it freed before would hide what it takes.
        for measure in _MEASURES:
            await asyncio.to_thread(_on_a_fresh_process, measure, bench, api)


def _on_a_fresh_process(measure: Callable[[Bench, Api, TenantKey], None], bench: Bench, api: Api) -> None:
    with running(api):
        measure(bench, api, tenant_with_quotas(api))


def tenant_with_quotas(api: Api) -> TenantKey:
    """A tenant with quotas, none of which it meets here."""
    tenant = api.tenant()
    with api.operator() as operator:
        limits = {"limits": {"requests_per_minute": 10**8}}
        operator.patch(f"/v1/admin/tenants/{tenant.tenant.slug}", json=limits).raise_for_status()
    return tenant


def _measure_rates(bench: Bench, api: Api, tenant: TenantKey) -> None:
    load = LoadProcess()
    try:
        _measure(bench, api, tenant, load)
    finally:
        load.close()


def _measure(bench: Bench, api: Api, tenant: TenantKey, load: LoadProcess) -> None:
    seconds = 2 * bench.sizes.seconds
    with api.client(tenant) as client:
        for _ in range(_MESSAGES // 2):
            client.post("/a/echo/v1/graph/invoke", json=say("hello " * 20, "read")).raise_for_status()
        answers = {
            "ping": client.get("/ping").content,
            "get": client.get("/v1/threads/read/messages").content,
            "post": client.post("/a/echo/v1/graph/invoke", json=say("hello", "bench-0")).content,
        }
    with _bare(answers) as bare:
        loads = {
            "invoke": (
                api_load(api.port, tenant, "POST", "/a/echo/v1/graph/invoke", 16, seconds),
                "POST /post",
            ),
            "messages": (
                api_load(api.port, tenant, "GET", "/v1/threads/read/messages", 64, seconds),
                "GET /get",
            ),
            "ping": (api_load(api.port, tenant, "GET", "/ping", 64, seconds), "GET /ping"),
        }
        taken: dict[str, list[Taken]] = {}
        for _ in range(bench.sizes.rounds):
            for name, (ours, theirs) in loads.items():
                method, path = theirs.split()
                taken.setdefault(name, []).append(load.send(ours))
                beside = api_load(bare, tenant, method, path, ours.connections, seconds)
                taken.setdefault(f"{name}.bare", []).append(load.send(beside))
    _add(bench, taken)


def api_load(port: int, tenant: TenantKey, method: str, path: str, connections: int, seconds: float) -> Load:
    """A load on a route; `POST` sends a new thread's invoke each time."""
    return Load(port, method, path, tenant.key, _INVOKE if method == "POST" else None, connections, seconds)


def _add(bench: Bench, taken: dict[str, list[Taken]]) -> None:
    report = bench.report
    rates = {name: [one.per_second for one in of] for name, of in taken.items()}
    labels = {
        "invoke": "invokes/s of the echo agent on new threads, 16 connections",
        "messages": "GETs/s of 20 messages, 64 connections",
        "ping": "GETs/s of /ping, 64 connections",
    }
    for name, label in labels.items():
        report.add(f"api.{name}", label, "/s", rates[name])
        report.add(f"api.{name}.bare", "  a bare route with the same bytes", "/s", rates[f"{name}.bare"])
        report.add_ratio(f"api.{name}/bare", "  to the bare route", rates[name], rates[f"{name}.bare"])
    # One that is near 1 says that the load, and not the route, was measured.
    busy = [max(of[number].busy for of in taken.values()) for number in range(len(taken["ping"]))]
    report.add("api.loader.busy", "  most of a CPU that the load took", "x", busy)
    p95 = [one.p95_s * 1000 for one in taken["invoke"]]
    report.add("api.invoke.p95", "  p95 of an invoke", "ms", p95)
    report.add(
        "api.invoke/original", "  to the original", "x", [one / ORIGINAL_INVOKES for one in rates["invoke"]]
    )
    report.add("api.p95/original", "  p95 to the original's", "x", [one / ORIGINAL_P95_MS for one in p95])
    report.add(
        "api.messages/original",
        "  GETs to the original",
        "x",
        [one / ORIGINAL_READS for one in rates["messages"]],
    )


_MEASURES = (
    _measure_rates,
    measure_first_chunk,
    measure_background,
    measure_idle_sockets,
    measure_idle_streams,
)


@contextmanager
def _bare(answers: dict[str, bytes]) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        for name, body in answers.items():
            (Path(folder) / name).write_bytes(body)
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.bare_api", str(port)],
            cwd=ROOT,
            env={**os.environ, ANSWERS: folder},
        )
        try:
            _until_ready(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def _until_ready(port: int) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        try:
            httpx.get(f"http://127.0.0.1:{port}/ping")
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the bare server did not get ready")


@asynccontextmanager
async def migrated(bench: Bench) -> AsyncIterator[str]:
    """A database of the service, for the length of a block."""
    name = databases.new_name("api_bench")
    await asyncio.to_thread(databases.create, bench.database_url, name)
    try:
        url = databases.url_of(bench.database_url, name)
        await asyncio.to_thread(databases.migrate, url)
        yield url
    finally:
        await asyncio.to_thread(databases.drop, bench.database_url, name)
