"""What numbers of a chart are, and how they read: short beside an axis, exact on hover."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_THOUSANDS: Final = ("", "k", "M", "G", "T", "P", "E")
_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit.

    Attributes:
        short: A value in few characters, rounded.
        exact: The same as it is.
        base: Of its steps: 10, or 1024 where steps are powers of that.
        least_step: Between two ticks; 1 where there is nothing between whole numbers.
    """

    short: Callable[[float], str]
    exact: Callable[[float], str]
    base: int = 10
    least_step: float = 1


def short_count(value: float) -> str:
    """`12`, `1.2k`, `3.4M`; beyond `E` as a power of ten."""
    return _scaled(value, 1000, _THOUSANDS, "")


def short_bytes(value: float) -> str:
    """`12 B`, `1.2 KiB`."""
    return _scaled(value, 1024, _BINARY, " ")


def short_ms(value: float) -> str:
    """`0.4 ms`, `12 ms`, `1.2 s`, `3 min 5 s`."""
    if abs(value) >= _MINUTE_MS:
        seconds = round(value / 1000)
        return f"{seconds // 60:,} min {seconds % 60} s"
    if abs(value) >= 1000:
        return f"{_three(value / 1000)} s"
    return f"{_three(value)} ms"


def _scaled(value: float, step: int, names: tuple[str, ...], between: str) -> str:
    place, rest = 0, float(value)
    # What would be rounded to a whole step reads as one of the next.
    while abs(rest) >= step - 0.5 and place < len(names) - 1:
        rest, place = rest / step, place + 1
    if abs(rest) >= step:
        return f"{value:.1e}"
    return f"{_three(rest)}{between}{names[place]}"


def _three(value: float) -> str:
    """About three digits."""
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 1 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _exact(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}".rstrip("0").rstrip(".")


COUNT: Final = Unit(short_count, _exact)
BYTES: Final = Unit(short_bytes, lambda value: f"{_exact(value)} bytes", base=1024)
MILLISECONDS: Final = Unit(short_ms, lambda value: f"{_exact(value)} ms", least_step=0)
