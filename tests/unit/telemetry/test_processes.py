"""Several processes of a service on one page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from agentflow_telemetry import Metrics, TelemetrySettings
from agentflow_telemetry.named_tenants import OTHER
from agentflow_telemetry.processes import Processes
from tests.support.spans import OPENMETRICS, counting, families, lines, request, value

CALLS = "traces_span_metrics_calls_total"


@asynccontextmanager
async def processes(folder: Path, number: int, most_tenants: int = 50) -> AsyncIterator[list[Metrics]]:
    """Several that meet in a folder; they know nothing of each other but that."""
    settings = TelemetrySettings(most_tenants=most_tenants)
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(number):
            metrics = Metrics("s", settings=settings, folder=str(folder))
            stack.push_async_callback(metrics.aclose)
            await metrics.serve()
            found.append(metrics)
        yield found


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_whichever_is_asked_tells_all(tmp_path: Path, accept: str) -> None:
    """Each family once, each process with its number, in both forms."""
    async with processes(tmp_path, 3) as all_of_them:
        for times, metrics in enumerate(all_of_them, start=1):
            with counting(metrics) as tracer:
                for _ in range(times):
                    request(tracer, "acme")
        for asked in all_of_them:
            found = families((await asked.page(accept)).text)
            calls = {
                number: value(found, CALLS, process=number, span_kind="SPAN_KIND_SERVER") for number in "0123"
            }
            assert calls == {"0": 1, "1": 2, "2": 3, "3": 0}


async def test_they_name_the_same_tenants(tmp_path: Path) -> None:
    """The busiest of all of them together, from the first page on, also one that came late."""
    async with processes(tmp_path, 2, most_tenants=1) as (first, second):
        with counting(first) as one, counting(second) as other:
            request(one, "a")
            request(one, "a")
            for _ in range(9):
                request(other, "b")
            await first.page()
            async with processes(tmp_path, 1, most_tenants=1) as (late,):
                with counting(late) as third:
                    request(third, "c")
                    await late.page()
                    for tracer in (one, other, third):
                        for tenant in "abc":
                            request(tracer, tenant)
                    found = families((await second.page()).text)
    named = {line.labels["agentflow_tenant_id"] for line in lines(found, CALLS)}
    assert named == {"b", OTHER}
    for number in "012":
        assert value(found, CALLS, process=number, agentflow_tenant_id="b") >= 2


async def test_one_that_ended_is_left_out(tmp_path: Path) -> None:
    """Its number is the next one's, and what it left behind does no harm."""
    async with processes(tmp_path, 1) as (first,):
        gone = Processes(str(tmp_path))
        assert gone.number == 1
        await gone.serve(lambda _: "never asked")
        assert gone._server is not None
        gone._server.close()
        await gone._server.wait_closed()
        found = families((await first.page()).text)
        assert value(found, "agentflow_telemetry_dropped_total", what="processes") == 0
        await gone.aclose()
        again = Processes(str(tmp_path))
        assert again.number == 1
        await again.aclose()


async def test_one_that_says_nothing_is_counted(tmp_path: Path) -> None:
    """It is there and does not answer, or not in words: the others are told all the same."""
    async with processes(tmp_path, 1) as (first,):

        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_unix_server(hang_up, tmp_path / "7.socket")
        await first.page()
        found = families((await first.page()).text)
        server.close()
        await server.wait_closed()
    assert value(found, "agentflow_telemetry_dropped_total", what="processes") >= 2


def test_the_folder_is_this_users(tmp_path: Path) -> None:
    """A lock that others cannot open."""
    alone = Processes(str(tmp_path))
    assert (tmp_path / "0.lock").stat().st_mode & 0o077 == 0
    asyncio.run(alone.aclose())
