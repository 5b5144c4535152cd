"""What is measured, by the word that `--only` takes."""

from collections.abc import Awaitable, Callable

from tests.benchmarks.bench import Bench
from tests.benchmarks.measures.api import measure_api
from tests.benchmarks.measures.console import measure_console
from tests.benchmarks.measures.export import measure_export
from tests.benchmarks.measures.growth import measure_growth
from tests.benchmarks.measures.metrics import measure_metrics
from tests.benchmarks.measures.moves import measure_moves
from tests.benchmarks.measures.neighbours import measure_neighbours
from tests.benchmarks.measures.offboarding import measure_offboarding
from tests.benchmarks.measures.partitions import measure_partitions
from tests.benchmarks.measures.pools import measure_pools
from tests.benchmarks.measures.quotas import measure_quotas
from tests.benchmarks.measures.reads import measure_reads
from tests.benchmarks.measures.retention import measure_retention
from tests.benchmarks.measures.storage import measure_storage
from tests.benchmarks.measures.telemetry import measure_telemetry
from tests.benchmarks.measures.turns import measure_turns
from tests.benchmarks.measures.wire import measure_wire
from tests.benchmarks.measures.writes import measure_writes

MEASURES: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "write": measure_writes,
    "growth": measure_growth,
    "read": measure_reads,
    "size": measure_storage,
    "wire": measure_wire,
    "turns": measure_turns,
    "pool": measure_pools,
    "partitions": measure_partitions,
    "moves": measure_moves,
    "offboarding": measure_offboarding,
    "retention": measure_retention,
    "quotas": measure_quotas,
    "neighbours": measure_neighbours,
    "export": measure_export,
    "metrics": measure_metrics,
    "api": measure_api,
    "telemetry": measure_telemetry,
    "console": measure_console,
}
