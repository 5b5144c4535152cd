"""Figures with their spread, as a table and as data."""

import statistics
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measured figure: the median of its rounds, with the lowest and the highest."""

    name: str
    unit: str
    median: float
    low: float
    high: float


@dataclass
class Report:
    """Everything one run measured, in order."""

    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, unit: str, rounds: list[float]) -> None:
        """Add a figure from its rounds."""
        self.figures.append(Figure(name, unit, statistics.median(rounds), min(rounds), max(rounds)))

    def add_ratio(self, name: str, rounds: list[float], reference: list[float]) -> None:
        """Add a ratio of two figures, paired by round: what machine noise does to both falls out."""
        self.add(name, "x", [mine / other for mine, other in zip(rounds, reference, strict=True)])

    def table(self) -> str:
        """The figures as text, one a line."""
        width = max(len(figure.name) for figure in self.figures)
        lines = [f"{'figure':{width}}  {'median':>10}  {'lowest':>10}  {'highest':>10}  unit"]
        lines += [
            f"{f.name:{width}}  {f.median:10.3g}  {f.low:10.3g}  {f.high:10.3g}  {f.unit}"
            if f.median < 1000
            else f"{f.name:{width}}  {f.median:10.0f}  {f.low:10.0f}  {f.high:10.0f}  {f.unit}"
            for f in self.figures
        ]
        return "\n".join(lines)

    def as_data(self) -> list[dict[str, object]]:
        """The figures as JSON data."""
        return [asdict(figure) for figure in self.figures]
