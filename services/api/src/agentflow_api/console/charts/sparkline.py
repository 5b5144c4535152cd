"""A line as small as a word."""

from collections.abc import Sequence

from markupsafe import Markup

from agentflow_api.console.charts.data import Series
from agentflow_api.console.charts.frame import UNKNOWN, WIDTH
from agentflow_api.console.charts.lines import path_of, runs_of
from agentflow_api.console.charts.markup import element
from agentflow_api.console.charts.scale import scale_of
from agentflow_api.console.charts.units import COUNT, Unit

_HEIGHT = 100


def sparkline(name: str, values: Sequence[float | None], unit: Unit = COUNT) -> Markup:
    """How values went, without axes; first, last, least and most are said in words.

    Args:
        name: What they are.
        values: Oldest first; None where nothing is known.
        unit: Of all of them.
    """
    series = Series(name, values)
    known = [value for index in range(len(values)) if (value := series.at(index)) is not None]
    scale = scale_of(known, unit)
    paths = [
        element("path", d=path_of(run), class_=f"{'chart-dot' if len(run) == 1 else 'chart-line'} series-1")
        for run in runs_of(series, len(values), scale, _HEIGHT)
    ]
    said = f"{name}: {_words(known, unit)}"
    return element(
        "svg",
        element("title", said),
        *paths,
        viewBox=f"0 -8 {WIDTH} {_HEIGHT + 16}",
        preserveAspectRatio="none",
        class_="sparkline",
        role="img",
        aria_label=said,
    )


def _words(known: list[float], unit: Unit) -> str:
    if not known:
        return UNKNOWN
    return f"{unit.short(known[-1])} now, {unit.short(min(known))} at least, {unit.short(max(known))} at most"
