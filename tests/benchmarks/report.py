"""Figures with their spread, as data."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Figure:
    """One measured figure: the median of its rounds, with the lowest and the highest.

    Attributes:
        key: Its name for programs: `goals.py` and the documents refer to it.
        label: Its name for people.
    """

    key: str
    label: str
    unit: str
    median: float
    low: float
    high: float
    rounds: int


@dataclass
class Report:
    """Everything one run measured, in order.

    Attributes:
        about: The machine, the servers and the sizes of the run.
    """

    figures: dict[str, Figure] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def add(self, key: str, label: str, unit: str, rounds: Sequence[float]) -> None:
        """Add a figure from its rounds."""
        median = statistics.median(rounds)
        self.figures[key] = Figure(key, label, unit, median, min(rounds), max(rounds), len(rounds))

    def add_ratio(self, key: str, label: str, mine: Sequence[float], reference: Sequence[float]) -> None:
        """Add a ratio of two figures, paired by round: what machine noise does to both falls out."""
        self.add(key, label, "x", [one / other for one, other in zip(mine, reference, strict=True)])

    def take(self, other: "Report", keys: Iterable[str]) -> None:
        """Add these figures of another run, as far as it measured them."""
        self.figures |= {key: other.figures[key] for key in keys if key in other.figures}

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        figures = [asdict(figure) for figure in self.figures.values()]
        data = {"about": self.about, "figures": figures}
        path.write_text(json.dumps(data, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `save` wrote; empty when there is no such file."""
        if not path.exists():
            return cls()
        data = json.loads(path.read_text())
        figures = {entry["key"]: Figure(**entry) for entry in data["figures"]}
        return cls(figures, data["about"])
