"""A thread's checkpoints as steps, in the words of who reads them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

_WORDS: Final = {
    "input": "Input",
    "branch": "Parallel branch",
    "update": "Changed by hand",
    "fork": "Forked",
    "rollback": "Rolled back",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A checkpoint.

    Attributes:
        parent: The version that it went on from; 0 of the first.
        title: What happened: the node that ran, or the kind of change.
        begins_run: The step before it is of another run, or there is none; never of a change by hand.
        leaves_line: Its parent is not the version before it: here history went back.
    """

    seq: int
    parent: int
    title: str
    source: str
    run_id: str
    created_at: datetime
    begins_run: bool
    leaves_line: bool


def steps_of(checkpoints: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Checkpoints as the API lists them, newest first, as steps in the same order.

    The oldest of them counts as its run's beginning: what is before it is on the next page.
    """
    found = list(checkpoints)
    # A run begins at a node, a change by hand is at none.
    runs = {one["run_id"] for one in found if one["node"]}
    return [_step(one, before, runs) for one, before in zip_longest(found, found[1:])]


def _step(one: Mapping[str, Any], before: Mapping[str, Any] | None, runs: set[str]) -> Step:
    parent = one["parent"] or 0
    return Step(
        seq=one["seq"],
        parent=parent,
        title=title_of(one["source"], one["node"]),
        source=one["source"],
        run_id=one["run_id"] or "",
        created_at=datetime.fromisoformat(one["created_at"]),
        begins_run=one["run_id"] in runs and (before is None or before["run_id"] != one["run_id"]),
        leaves_line=parent != one["seq"] - 1,
    )


def title_of(source: str, node: str | None) -> str:
    """What a checkpoint is called."""
    if source == "node" and node:
        return node
    return _WORDS.get(source, source or "Checkpoint")
