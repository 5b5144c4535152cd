"""The tables of runs, in numbered files that the migrations apply."""

from collections.abc import Sequence
from importlib import resources
from typing import Final

_FILES: Final = {
    1: "0001_runs.sql",
    2: "0002_idempotency.sql",
    3: "0003_pgqueuer.sql",
    4: "0004_tickets.sql",
    8: "0008_remote_tools.sql",
    5: "0005_run_traces.sql",
    9: "0009_operator_keys.sql",
    10: "0010_ends_of_threads.sql",
    12: "0012_plain_deletes.sql",
    13: "0013_trace_days.sql",
    14: "0014_sweeps.sql",
    15: "0015_claims.sql",
    16: "0016_pauses.sql",
    17: "0017_sweeps_of_leaves.sql",
}


def hosting_statements(version: int) -> Sequence[str]:
    """The statements that bring the tables from `version - 1` to `version`, in order."""
    text = resources.files(__name__).joinpath(_FILES[version]).read_text(encoding="utf-8")
    return [statement.strip() for statement in text.split("--;\n") if statement.strip()]
