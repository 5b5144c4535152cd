"""The figures to reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A limit that the median of a figure is held to.

    Attributes:
        key: The figure.
        label: What it is, in a line.
        limit: In the figure's unit.
        at_least: Whether more is better.
        peers: Whether `make bench-peers` measures it, and not `make bench`.
    """

    key: str
    label: str
    limit: float
    unit: str = "x"
    at_least: bool = True
    peers: bool = False

    def met(self, median: float) -> bool:
        """Whether the figure reaches it."""
        return median >= self.limit if self.at_least else median <= self.limit

    def reached(self, median: float) -> float:
        """How far: 1 is the goal itself, 2 is twice as good, and 100 as good as nothing at all."""
        return median / self.limit if self.at_least else self.limit / max(median, self.limit / 100)

    def text(self) -> str:
        """The limit as one writes it."""
        return f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}"


def _at_most(key: str, label: str, limit: float, unit: str = "x") -> Goal:
    return Goal(key, label, limit, unit, at_least=False)


GOALS = (
    Goal("write.64/raw_delta", "durable checkpoints/s, 64 writers, to raw_delta", 2.0),
    Goal("write.64/raw_group", "durable checkpoints/s, 64 writers, to raw_group", 0.5),
    Goal("write.16/raw_delta", "durable checkpoints/s, 16 writers, to raw_delta", 1.3),
    _at_most("write.p50/raw_delta", "p50 of a lone writer, to raw_delta", 1.3),
    _at_most("growth.latency", "turn 200 to turn 10, latency of a checkpoint", 1.1),
    _at_most("growth.wal", "turn 200 to turn 10, WAL of a checkpoint", 1.1),
    Goal("read.warm/redis", "warm state reads/s, 32 readers, to redis-py GET", 3.0),
    _at_most("read.cold/row", "cold state read, p50, 20 messages, to a one-row SELECT", 1.8),
    _at_most("read.last/row", "cold read, p50, last 50 of 400, to a one-row SELECT of all", 0.7),
    _at_most("disk.thread", "disk of an idle 10-turn thread, indexes included", 18, "KiB"),
    _at_most("redis.thread", "Redis of a cached 10-turn thread", 5, "KiB"),
    _at_most("growth.redis", "turn 200 to turn 10, bytes sent to Redis in a turn", 1.2),
    _at_most("trips.postgres", "Postgres round trips of a 3-node turn", 4, "trips"),
    _at_most("trips.redis", "Redis round trips of a 3-node turn", 2, "trips"),
    Goal("turns.1/memory", "turns/s durable sync, 1 thread, to in memory", 0.6),
    Goal("turns.16/memory", "turns/s durable sync, 16 threads, to in memory", 0.5),
    _at_most("partitions.put.1/8", "put with 1 partition, to 8", 1.15),
    _at_most("partitions.put.100/8", "put with 100 partitions, to 8", 1.15),
    _at_most("partitions.put.1000/8", "put with 1000 partitions, to 8", 1.15),
    _at_most("partitions.get.1/8", "get with 1 partition, to 8", 1.15),
    _at_most("partitions.get.100/8", "get with 100 partitions, to 8", 1.15),
    _at_most("partitions.get.1000/8", "get with 1000 partitions, to 8", 1.15),
    _at_most("partitions.nth.6/8", "sixth execution of a get, 1000 partitions, to 8", 1.15),
    _at_most("partitions.nth.1000/8", "thousandth execution of a get, 1000 partitions, to 8", 1.15),
    _at_most("security.put/without", "put under row level security, to without", 1.25),
    _at_most("security.get/without", "get under row level security, to without", 1.25),
    _at_most("quotas.request/get", "authentication + all quotas, warm, p50, to redis-py GET", 1.6),
    _at_most("neighbours.flooded/alone", "p99 while a neighbour sends 20 x its limit, to alone", 1.3),
    Goal("quotas.library/script", "6 calls of a rate-limit library, to one script for 6 quotas", 3),
    Goal("moves.rate", "rows/s of a move under 8 writers", 5000, "1/s"),
    _at_most("moves.p99/alone", "writers' p99 while their tenant moves, to before", 5),
    _at_most("moves.worst", "their slowest write", 250, "ms"),
    Goal("moves.kept", "acknowledged checkpoints that a move keeps", 1),
    _at_most("offboarding.10x", "offboarding a dedicated tenant with 10 x the rows", 1.2),
    Goal("offboarding.rate", "rows/s of a pooled tenant that is offboarded", 50_000, "1/s"),
    _at_most("offboarding.p99/alone", "neighbours' p99 meanwhile, to alone", 1.5),
    Goal("retention.rate", "checkpoints/s of a sweep beside 4 writers", 50_000, "1/s"),
    _at_most("retention.p99/alone", "p99 of a neighbour's writers during a sweep, to alone", 1.5),
    Goal("export.rate", "export of a tenant", 30, "MB/s"),
    Goal("import.rate", "import of an archive", 30, "MB/s"),
    _at_most("export.memory", "peak memory of a process that exports or imports", 100, "MB"),
    Goal("export.same", "archives that are the same after an import", 1),
    Goal("api.invoke/original", "invokes/s on new threads, 16 connections, to the original", 12),
    Goal("api.invoke/bare", "invokes/s on new threads, 16 connections, to a bare route", 0.10),
    _at_most("api.p95/original", "p95 of an invoke, 16 connections, to the original", 0.1),
    Goal("api.messages/original", "GETs/s of 20 messages, 64 connections, to the original", 7),
    Goal("api.messages/bare", "GETs/s of 20 messages, 64 connections, to a bare route", 0.35),
    Goal("api.ping/bare", "GETs/s of /ping, 64 connections, to a bare route", 0.85),
    _at_most("api.first_chunk/node", "a stream's first chunk, to an invoke's first node", 1.5),
    _at_most("api.idle.socket", "memory of an open idle socket", 25, "KB"),
    _at_most("api.idle.stream", "memory of an open idle stream", 25, "KB"),
    _at_most("api.background", "background run: enqueue to first node, p50", 20, "ms"),
    _at_most("metrics.size", "a scrape with 1000 tenants", 1, "MB"),
    _at_most("metrics.scrape", "CPU time of a scrape with 1000 tenants", 100, "ms"),
    Goal("telemetry.invoke/off", "invokes/s, telemetry as shipped, to telemetry off", 0.8),
    Goal("telemetry.messages/off", "GETs/s of 20 messages, telemetry as shipped, to telemetry off", 0.8),
    _at_most("telemetry.turn.recorder/cpu", "a turn with the CPU of the library's spans, to without", 1.05),
    _at_most("console.operator.first", "the console's first page, 1000 tenants, first look", 200, "ms"),
    _at_most("console.operator.size", "the console's first page with its assets", 150, "KB"),
    _at_most(
        "console.tenant.first", "a tenant's first page in the console, 10 000 threads, first look", 200, "ms"
    ),
    _at_most("console.tenant.size", "a tenant's first page with its assets", 150, "KB"),
    _at_most("console.live", "a change until an open page shows it", 1, "s"),
    Goal("turns.1/langgraph", "turns/s durable sync, 1 thread, to langgraph sync", 5, peers=True),
    Goal("turns.16/langgraph", "turns/s durable sync, 16 threads, to langgraph sync", 12, peers=True),
)
BY_KEY = {goal.key: goal for goal in GOALS}
OF_PEERS = [goal.key for goal in GOALS if goal.peers]
