"""The vertical axis: from where to where, and which ticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agentflow_api.console.charts.units import Unit

_TICKS: Final = 4
# A step is one of these times a power of the base (Heckbert, "Nice numbers for graph labels", 1990).
_NICE: Final = {10: (1, 2, 5, 10), 1024: (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)}


@dataclass(frozen=True, slots=True)
class Scale:
    """Evenly spaced ticks from `low` to `high`; 0 is one of them."""

    low: float
    high: float
    ticks: Sequence[float]

    def part(self, value: float) -> float:
        """How far up a value is: 0 at `low`, 1 at `high`, never beyond."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def scale_of(values: Sequence[float], unit: Unit) -> Scale:
    """A scale that holds these values and 0; of no values, or of zeros alone, from 0 to one step."""
    low, high = min((0, *values)), max((0, *values))
    step = _step(max(high, -low), unit)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        last = first + 1
    ticks = [number * step for number in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1], ticks)


def _step(size: float, unit: Unit) -> float:
    """So that about four of them reach so far."""
    rough = size / _TICKS
    if rough <= unit.least_step or rough <= 0:
        return unit.least_step or 1
    power = float(unit.base) ** math.floor(math.log(rough, unit.base))
    nice = next((one for one in _NICE[unit.base] if one * power >= rough), unit.base)
    return max(nice * power, unit.least_step)
