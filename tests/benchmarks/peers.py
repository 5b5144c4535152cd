"""`make bench-peers`: the same workload on the peers, interleaved with ours, in an environment of their own.

Options that are not listed go to the harness: ARGS="--only e2e --rounds 1 --turns 160".
"""

import argparse
import os
import subprocess
from pathlib import Path

from tests.benchmarks.arguments import PEERS, RESULTS
from tests.benchmarks.peer_report import peer_report
from tests.benchmarks.servers import own_servers
from tests.benchmarks.table import table

ROOT = Path(__file__).parents[2]
HARNESS = Path("../shared/bench/peer_bench.py")
PYTHON = RESULTS / "peers" / "bin" / "python"
LINES = RESULTS / "peers.jsonl"

SYSTEMS = {
    "write": "--systems=tenx,lg_pg,raw_delta,raw_group2_delta,agentflow",
    "read": "--systems=tenx,lg_pg,raw_full,raw_redis,agentflow",
    "size": "--systems=tenx,lg_pg,raw_delta,agentflow",
    "growth": "--systems=tenx,lg_pg,raw_delta,agentflow",
    "e2e": "--runners=tenx_pg,lg_pg_sync,agentflow,agentflow_mem",
}


def main() -> None:
    """Measure, and print every ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SYSTEMS), help=f"these alone: {','.join(SYSTEMS)}")
    parser.add_argument("--harness", type=Path, default=os.environ.get("PEER_BENCH") or HARNESS)
    asked, rest = parser.parse_known_args()
    LINES.unlink(missing_ok=True)
    # The harness counts statements, which is for a superuser and an extension of the server.
    with own_servers(shared_preload_libraries="pg_stat_statements") as stack:
        dsn = stack.postgres.superuser_url.replace("+asyncpg", "")
        servers = ["--pg", dsn, "--redis", stack.valkey.url, "--out", str(LINES)]
        for name in asked.only.split(","):
            run_harness(asked.harness, [name, SYSTEMS[name], *servers, *rest])
    report = peer_report(LINES)
    report.save(PEERS)
    print(f"\n{table(report)}\n\nfigures: {PEERS}")


def run_harness(harness: Path, words: list[str]) -> None:
    """Run it with our adapter, in the peers' environment, on the sources of this repository."""
    paths = [str(ROOT), str(ROOT / "packages" / "agentflow" / "src")]
    command = [str(PYTHON), "-m", "tests.benchmarks.peer_adapter", str(harness), *words]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})


if __name__ == "__main__":
    main()
