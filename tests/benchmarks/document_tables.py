"""The tables of docs/sizing, each made from figures alone."""

from collections.abc import Callable, Iterable, Sequence

from tests.benchmarks.goals import GOALS, Goal
from tests.benchmarks.measures.pools import POOLS, WRITERS
from tests.benchmarks.report import Report
from tests.benchmarks.table import number

SMALL_CACHE_GB = 1.5
QUIET = 0.5


def machine(report: Report) -> str:
    """What it was measured on."""
    about = report.about
    postgres = about["postgres"]
    return (
        f"Measured on {about['cpus']} shared CPUs (client and servers together), PostgreSQL "
        f"{postgres['server_version']} with shared_buffers {postgres['shared_buffers']}, "
        f"fsync {postgres['fsync']}, synchronous_commit {postgres['synchronous_commit']}, "
        f"Python {about['python']}; medians of {about['sizes']['rounds']} rounds."
    ) + _load(about.get("load", 0))


def _load(load: float) -> str:
    """A word of warning when other work ran beside it."""
    if load <= QUIET:
        return ""
    return f" Other work ran on the machine (load {load:g} when it began): expect better, trust no latency."


def goals(report: Report) -> str:
    """Every goal with what was measured."""
    return _table(
        ("figure", "goal", "median", "lowest", "highest", ""), (_goal(report, goal) for goal in GOALS)
    )


def _goal(report: Report, goal: Goal) -> Sequence[str]:
    figure = report.figures.get(goal.key)
    if figure is None:
        return (goal.label, goal.text(), "-", "-", "-", "not measured")
    verdict = "met" if goal.met(figure.median) else "**not met**"
    return (
        goal.label, goal.text(), number(figure.median), number(figure.low), number(figure.high), verdict,
    )  # fmt: skip


def threads(report: Report) -> str:
    """Rows and bytes of a 10-turn chat in Postgres."""
    per_million = _value(report, "disk.thread") * 1024 * 1e6 / 1e9
    fresh_million = _value(report, "disk.fresh.thread") * 1024 * 1e6 / 1e9
    rows = [
        ("rows per thread", "~30", *_pair(report, "rows")),
        ("  of these checkpoints", "30", *_pair(report, "checkpoints.rows")),
        ("  of these messages", "", *_pair(report, "messages.rows")),
        ("bytes per row, indexes included", "2-10 KB", *_pair(report, "row", " B")),
        ("disk per thread, indexes included", "20 KB", *_pair(report, "thread", " KiB")),
        ("  of these indexes", "", *_pair(report, "indexes", " KiB")),
        ("storage per 1M threads", "~20 GB", f"{number(fresh_million)} GB", f"{number(per_million)} GB"),
    ]
    return _table(("10-turn chat", "guide", "as written", "idle, packed"), rows)


def redis(report: Report) -> str:
    """What a cached thread takes."""
    kib = _value(report, "redis.thread")
    held = SMALL_CACHE_GB * 1e9 / (kib * 1024)
    rows = [
        ("memory per cached 10-turn thread", "~5 KB", f"{number(kib)} KiB"),
        (f"threads in {SMALL_CACHE_GB} GB", "~300k", f"{held / 1000:.0f}k"),
        ("bytes sent per turn, turn 10", "", _with(report, "wire.redis.young", " B")),
        ("bytes sent per turn, turn 200", "", _with(report, "wire.redis.old", " B")),
    ]
    return _table(("Redis", "guide", "measured"), rows)


def pools(report: Report) -> str:
    """How checkpoints a second follow the size of the pool."""
    rows = [(str(size), _with(report, f"pool.{size}", "")) for size in POOLS]
    return _table(("connections", f"checkpoints/s, {WRITERS} writers"), rows)


def writes(report: Report) -> str:
    """Checkpoints a second, and how long one takes."""
    rows = [
        (
            str(writers),
            _with(report, f"write.{writers}.agentflow", ""),
            _with(report, f"write.{writers}.agentflow.p50", " ms"),
            _with(report, f"write.{writers}.agentflow.p95", " ms"),
            _with(report, f"write.{writers}.raw_delta", ""),
            _with(report, f"write.{writers}.raw_group", ""),
        )
        for writers in (1, 16, 64)
    ]
    header = ("writers", "checkpoints/s", "p50", "p95", "raw_delta/s", "raw_group/s")
    return _table(header, rows)


def api(report: Report) -> str:
    """Requests a second beside a bare route, how soon runs begin, and what open answers take."""
    names = (
        ("invoke", "invokes on new threads, 16"),
        ("messages", "GETs of 20 messages, 64"),
        ("ping", "GETs of /ping, 64"),
    )
    rows = [
        (
            label,
            _with(report, f"api.{name}", ""),
            _with(report, f"api.{name}.bare", ""),
            _with(report, f"api.{name}/bare", " x"),
        )
        for name, label in names
    ]
    rates = _table(("connections", "requests/s", "a bare route", "ratio"), rows)
    latencies = [
        ("p95 of an invoke, 16 connections", _with(report, "api.invoke.p95", " ms")),
        ("p50 until an invoke's first node begins, one at a time", _with(report, "api.first_node", " ms")),
        ("p50 until a stream's first chunk, one at a time", _with(report, "api.first_chunk", " ms")),
        ("p50 until a background run's first node begins", _with(report, "api.background", " ms")),
        ("memory of an idle stream", _with(report, "api.idle.stream", " KB")),
        ("memory of an idle WebSocket", _with(report, "api.idle.socket", " KB")),
    ]
    return f"{rates}\n\n{_table(('one API process, one worker', 'measured'), latencies)}"


TABLES: dict[str, Callable[[Report], str]] = {
    "machine": machine,
    "goals": goals,
    "threads": threads,
    "redis": redis,
    "pools": pools,
    "writes": writes,
    "api": api,
}


def _pair(report: Report, key: str, unit: str = "") -> tuple[str, str]:
    return _with(report, f"disk.fresh.{key}", unit), _with(report, f"disk.{key}", unit)


def _with(report: Report, key: str, unit: str) -> str:
    return f"{number(_value(report, key))}{unit}" if key in report.figures else "-"


def _value(report: Report, key: str) -> float:
    return report.figures[key].median if key in report.figures else float("nan")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
