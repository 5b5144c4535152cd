"""`make bench` at tiny sizes: that every figure is there, not how good it is."""

import math

import pytest

from tests.benchmarks.__main__ import measure
from tests.benchmarks.bench import SMOKE, Bench
from tests.benchmarks.counting_proxy import CountingProxy
from tests.benchmarks.goals import GOALS
from tests.benchmarks.measures import MEASURES
from tests.benchmarks.picture import draw
from tests.benchmarks.systems.redis_values import RedisValues
from tests.benchmarks.table import table
from tests.benchmarks.workload import Chat


@pytest.mark.slow
async def test_every_figure_is_measured(database_url: str, redis_url: str) -> None:
    """Each goal has its figure, each figure is a number, and table and picture show them."""
    report = await measure(Bench(database_url, redis_url, SMOKE), tuple(MEASURES))
    assert {goal.key for goal in GOALS if not goal.peers} <= report.figures.keys()
    for figure in report.figures.values():
        assert all(math.isfinite(value) for value in (figure.low, figure.median, figure.high)), figure
        assert figure.low <= figure.median <= figure.high
    assert table(report).count("measured by make bench-peers") == 2
    assert draw(report).count("<rect") == 1 + len([goal for goal in GOALS if not goal.peers])


async def test_proxy_counts_what_passes(redis_url: str) -> None:
    """A command and its answer are a round trip, and its bytes were sent."""
    chat = Chat(1)
    async with CountingProxy(redis_url) as proxy, RedisValues(proxy.url) as values:
        await values.store("proxied", chat)
        proxy.restart()
        assert await values.read("proxied")
        assert await values.read("proxied")
        assert proxy.round_trips == 2
        assert 0 < proxy.sent_bytes < 200
