"""`make bench`: every figure against its reference in one interleaved run, as a table and as JSON.

Usage: python -m tests.benchmarks [--rounds N] [--seconds S] [--json FILE]
       [--database-url URL --redis-url URL]

Without URLs it starts a PostgreSQL 18 and a Valkey of its own in a temporary folder, with fsync and
synchronous_commit on.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentflow_embedded import Stack
from tests.benchmarks.report import Report
from tests.benchmarks.storage_size import measure_size
from tests.benchmarks.turns import measure_turns


@contextmanager
def servers(database_url: str | None, redis_url: str | None) -> Iterator[tuple[str, str]]:
    """The servers to measure on."""
    if database_url and redis_url:
        yield database_url, redis_url
        return
    with tempfile.TemporaryDirectory(prefix="af-bench-") as folder, Stack(Path(folder)) as stack:
        yield stack.postgres.url, stack.valkey.url


async def measure(database_url: str, redis_url: str, *, rounds: int, seconds: float) -> Report:
    """All figures, one after the other."""
    report = Report()
    await measure_turns(report, database_url, redis_url, rounds=rounds, seconds=seconds)
    await measure_size(report, database_url, redis_url)
    return report


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds a figure is the median of")
    parser.add_argument("--seconds", type=float, default=2.0, help="time a system runs in one round")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--database-url")
    parser.add_argument("--redis-url")
    arguments = parser.parse_args()
    with servers(arguments.database_url, arguments.redis_url) as (database_url, redis_url):
        report = asyncio.run(
            measure(database_url, redis_url, rounds=arguments.rounds, seconds=arguments.seconds)
        )
    print(report.table())
    if arguments.json:
        arguments.json.write_text(json.dumps(report.as_data(), indent=1) + "\n")


if __name__ == "__main__":
    main()
