"""What `make bench ARGS="..."` takes."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.bench import SMOKE, Sizes
from tests.benchmarks.measures import MEASURES

RESULTS = Path(".bench")
PEERS = RESULTS / "peers.json"


@dataclass(frozen=True)
class Arguments:
    """The command line, read."""

    only: tuple[str, ...]
    sizes: Sizes
    json: Path
    database_url: str | None
    redis_url: str | None


def read(words: list[str] | None, about: str) -> Arguments:
    """Read the command line; ends the program with a word of help when it is wrong."""
    options = _parser(about).parse_args(words)
    only = tuple(options.only.split(",")) if options.only else tuple(MEASURES)
    if unknown := set(only) - set(MEASURES):
        raise SystemExit(f"--only takes {', '.join(MEASURES)}, not {', '.join(sorted(unknown))}")
    return Arguments(only, _sizes(options), _json(options), options.database_url, options.redis_url)


def _parser(about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"measure these alone: {','.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, help="rounds a figure is the median of (7)")
    parser.add_argument("--seconds", type=float, help="time a system runs in one round (1)")
    parser.add_argument("--threads", type=int, help="idle threads that are weighed (304 a generation)")
    parser.add_argument(
        "--moved-checkpoints", type=int, help="of a tenant that moves (20000; 100000 are 1 GB)"
    )
    parser.add_argument("--idle", type=int, help="sockets, and then streams, open at once (10000)")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--json", type=Path, help="where the figures go (.bench/agentflow.json)")
    parser.add_argument("--database-url", help="with --redis-url: servers to use instead of own ones")
    parser.add_argument("--redis-url")
    return parser


def _sizes(options: argparse.Namespace) -> Sizes:
    names = ("rounds", "seconds", "threads", "moved_checkpoints", "idle")
    asked = {name: getattr(options, name) for name in names}
    return replace(SMOKE if options.smoke else Sizes(), **{k: v for k, v in asked.items() if v is not None})


def _json(options: argparse.Namespace) -> Path:
    """A part of the figures never overwrites a whole run, which documents are written from."""
    whole = not (options.only or options.smoke)
    chosen: Path = options.json or RESULTS / ("agentflow.json" if whole else "part.json")
    return chosen
