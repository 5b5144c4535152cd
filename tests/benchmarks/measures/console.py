"""The console's pages with 1000 tenants and 10 000 threads, and how soon one shows a change."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import Final

import httpx
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import TenantRepository
from tests.benchmarks.bench import Bench
from tests.benchmarks.measures.api import migrated, tenant_with_quotas
from tests.support import databases
from tests.support.api import Api, TenantKey, running
from tests.support.browser import Looker, chromium, looker
from tests.support.console import visitor

_WRITERS: Final = 16
_LATER: Final = 5
_FIRST: Final = {"operator": "/console/tenants", "tenant": "/console/home"}
_OTHERS: Final = {"threads": "/console/threads", "usage": "/console/usage"}
_ASSETS: Final = re.compile(r'(?:href|src)="(/console/assets/[^"]+)"')


async def measure_console(bench: Bench) -> None:
    """Pages over plain HTTP, as what a browser loads; then the delay of a live part, in a browser."""
    async with migrated(bench) as url:
        api = Api(url, bench.redis_url)
        with running(api):
            tenant = await asyncio.to_thread(tenant_with_quotas, api)
        await _fill(bench, url, tenant)
        await asyncio.to_thread(_measure, bench, api, tenant)


def _measure(bench: Bench, api: Api, tenant: TenantKey) -> None:
    _measure_pages(bench, api, tenant)
    with running(api), chromium() as browser, looker(browser, api.base_url, api.operator_token) as one:
        delays = [_delay(api, one, f"many-{number:04}") for number in range(min(3, bench.sizes.rounds))]
    bench.report.add("console.live", "a change until an open page shows it", "s", delays)


def _measure_pages(bench: Bench, api: Api, tenant: TenantKey) -> None:
    """Each round on a process that showed no page before."""
    pages = {**_FIRST, **_OTHERS}
    first: dict[str, list[float]] = {name: [] for name in pages}
    later: dict[str, list[float]] = {name: [] for name in pages}
    size: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(min(3, bench.sizes.rounds)):
        with running(api):
            for name, path in pages.items():
                credential = api.operator_token if name == "operator" else tenant.key
                with visitor(api.base_url) as one:
                    assert one.client.post("/console/sign-in", data={"credential": credential}).is_redirect
                    first[name].append(_ms(lambda: one.client.get(path)))  # noqa: B023  # called at once
                    times = sorted(_ms(lambda: one.client.get(path)) for _ in range(_LATER))  # noqa: B023
                    later[name].append(times[_LATER // 2])
                    size[name].append(sum(_sizes(one.client, path)) / 1000)
    report = bench.report
    labels = {"operator": "an operator's first page", "tenant": "a tenant's first page"}
    for name in pages:
        label = labels.get(name, f"a tenant's page of {name}")
        report.add(f"console.{name}.first", f"{label}, first look", "ms", first[name])
        report.add(f"console.{name}.later", "  later looks", "ms", later[name])
        report.add(f"console.{name}.size", "  with its assets", "KB", size[name])


def _ms(ask: Callable[[], httpx.Response]) -> float:
    began = time.perf_counter()
    answer = ask()
    taken = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return taken


def _sizes(client: httpx.Client, path: str) -> Iterator[int]:
    """Bytes of a page and of each file that it names, unpacked."""
    text = client.get(path).text
    yield len(text.encode())
    for asset in set(_ASSETS.findall(text)):
        yield len(client.get(asset).content)


def _delay(api: Api, one: Looker, slug: str) -> float:
    """Seconds from the API's word that a move that waits is cancelled until the page of it says so.

    No worker is there to begin it. The browser's clock is this machine's.
    """
    with api.operator() as operator:
        body = {"placement": "dedicated"}
        asked = operator.post(f"/v1/admin/tenants/{slug}/placement", json=body).json()["data"]["operation"]
        path = f"/operations/{asked['operation_id']}"
        one.see(f"/console{path}")
        one.page.evaluate(
            """() => new MutationObserver(() => {
                const state = document.querySelector('#operation .badge')?.textContent;
                if (state === 'cancelled') window.at ??= Date.now();
            }).observe(document, { childList: true, subtree: true, characterData: true })"""
        )
        operator.post(f"/v1/admin{path}/cancel").raise_for_status()
        changed = time.time()
        one.page.wait_for_function("() => window.at")
        return max(0.0, float(one.page.evaluate("window.at")) / 1000 - changed)


async def _fill(bench: Bench, url: str, tenant: TenantKey) -> None:
    """Tenants, and the threads of one of them: two messages each."""
    engine = create_async_engine(url)
    tenants = TenantRepository(engine)
    for number in range(bench.sizes.console_tenants):
        await tenants.create_tenant(f"many-{number:04}")
    await engine.dispose()
    checkpointer = PgCheckpointer(databases.app_url(url), bench.redis_url)
    scope = Scope(tenant.tenant.tenant_id, tenant.tenant.placement)
    names = iter(range(bench.sizes.console_threads))

    async def write() -> None:
        for number in names:
            async with checkpointer.session(scope, f"tenant-{tenant.tenant.slug}:t{number}") as session:
                said = [message(0, "hello"), message(1, "hello", role="assistant", sent_at=time.time())]
                await session.append(write_after(None, {"turn": 0, "topic": "foxes"}, added=said))

    await asyncio.gather(*(write() for _ in range(_WRITERS)))
    await checkpointer.aclose()
