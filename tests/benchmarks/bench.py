"""What every measurement is given: servers, sizes, and the report to fill."""

from dataclasses import dataclass, field

from tests.benchmarks.report import Report


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        rounds: In each one every system runs once, one after another; a figure is their median.
        seconds: How long a system runs in one round; many short rounds pair better on a busy machine.
        threads: Idle threads that are weighed.
        read_threads: Threads that readers pick from.
        young, old: The turns that are compared for growth, with `around` turns on both sides.
        partitions: Of the largest database.
        moved_checkpoints: Of a tenant that moves.
        swept_checkpoints: Of a tenant whose threads are past their time.
        grown_threads: Threads that are grown to the old turn.
        exported_threads: Of a tenant that is exported, of 23 KB each.
        console_tenants, console_threads: That the console has to list; the threads are of one tenant.
        idle: Sockets, and then streams, that are open at once.
    """

    rounds: int = 7
    seconds: float = 1.0
    threads: int = 304
    read_threads: int = 64
    young: int = 10
    old: int = 200
    around: int = 5
    grown_threads: int = 3
    writers: tuple[int, ...] = (1, 16, 64)
    partitions: int = 1000
    moved_checkpoints: int = 20_000
    swept_checkpoints: int = 100_000
    idle: int = 10_000
    exported_threads: int = 4000
    console_tenants: int = 1000
    console_threads: int = 10_000


SMOKE = Sizes(
    rounds=1,
    seconds=0.02,
    threads=3,
    read_threads=2,
    young=2,
    old=5,
    around=1,
    grown_threads=1,
    partitions=12,
    moved_checkpoints=40,
    swept_checkpoints=40,
    idle=20,
    exported_threads=3,
    console_tenants=3,
    console_threads=3,
    writers=(1, 16, 64),
)


@dataclass
class Bench:
    """One run of the benchmark."""

    database_url: str
    redis_url: str
    sizes: Sizes
    report: Report = field(default_factory=Report)

    @property
    def dsn(self) -> str:
        """The database as asyncpg takes it."""
        return self.database_url.replace("+asyncpg", "")
