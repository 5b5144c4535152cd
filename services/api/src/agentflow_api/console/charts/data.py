"""What a chart shows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from agentflow_api.console.charts.units import COUNT, Unit

type By = Literal["hour", "day"]
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Place:
    """A place on the horizontal axis.

    Attributes:
        short: Below the axis.
        whole: On hover and in the table.
    """

    short: str
    whole: str


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one kind, one for each place; None where nothing is known, which is not 0."""

    name: str
    values: Sequence[float | None]

    def at(self, index: int) -> float | None:
        """The value at a place; None too if it is no number."""
        value = self.values[index] if index < len(self.values) else None
        return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of one or more series.

    Attributes:
        title: What it is of; its name for those who do not see it.
        places: Along the horizontal axis, evenly spaced; a few hundred at most.
        series: At most four, which are told apart by colour and by name.
        unit: Of all values.
        heading: What a place is: the first column of the table.
        limit: Drawn across, such as a quota; None if there is none.
    """

    title: str
    places: Sequence[Place]
    series: Sequence[Series]
    unit: Unit = field(default=COUNT)
    heading: str = "Time"
    limit: float | None = None

    @property
    def known(self) -> list[float]:
        """Every value that is known."""
        places = range(len(self.places))
        found = (one.at(index) for one in self.series for index in places)
        return [value for value in found if value is not None]


def places_in_time(starts: Iterable[datetime], by: By) -> list[Place]:
    """Places for hours or days, in UTC."""
    return [Place(*_words(start, by)) for start in starts]


def _words(start: datetime, by: By) -> tuple[str, str]:
    day = f"{start.day} {_MONTHS[start.month - 1]}"
    if by == "day":
        return day, f"{day} {start.year}"
    return f"{start:%H:%M}", f"{day} {start.year}, {start:%H:%M} UTC"
