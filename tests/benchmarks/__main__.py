"""`make bench`: every figure against its goal, as a table, as JSON, and as a picture.

Everything is a ratio from one interleaved run: in each round, each system one after another. Without URLs
it starts a PostgreSQL 18 (fsync and synchronous_commit on) and a Valkey of its own in a temporary folder.
"""

from dataclasses import asdict

import uvloop

from tests.benchmarks import arguments
from tests.benchmarks.arguments import PEERS, Arguments
from tests.benchmarks.bench import Bench
from tests.benchmarks.document_tables import QUIET
from tests.benchmarks.goals import OF_PEERS
from tests.benchmarks.measures import MEASURES
from tests.benchmarks.picture import draw
from tests.benchmarks.report import Report
from tests.benchmarks.servers import about, servers
from tests.benchmarks.table import table


async def measure(bench: Bench, only: tuple[str, ...]) -> Report:
    """These measurements, one after the other."""
    bench.report.about = {**await about(bench.dsn), "sizes": asdict(bench.sizes)}
    if bench.report.about["load"] > QUIET:
        print(f"other work runs here (load {bench.report.about['load']:g}): spreads will be wide")
    for name in only:
        print(f"measuring: {name}", flush=True)
        await MEASURES[name](bench)
    return bench.report


def run(asked: Arguments) -> Report:
    """Measure on the servers asked for."""
    with servers(asked.database_url, asked.redis_url) as (database_url, redis_url):
        return uvloop.run(measure(Bench(database_url, redis_url, asked.sizes), asked.only))


def main() -> None:
    """Read the arguments, measure, print."""
    asked = arguments.read(None, __doc__ or "")
    report = run(asked)
    report.save(asked.json)
    report.take(Report.read(PEERS), OF_PEERS)
    picture = asked.json.with_suffix(".svg")
    picture.write_text(draw(report))
    print(f"\n{table(report)}\n\nfigures: {asked.json}   picture: {picture}")


if __name__ == "__main__":
    main()
