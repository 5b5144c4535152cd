"""Bars: one for each place, those of several series on top of each other."""

from itertools import pairwise

from markupsafe import Markup

from agentflow_api.console.charts.data import Chart
from agentflow_api.console.charts.frame import HEIGHT, at_place, column, framed
from agentflow_api.console.charts.markup import element
from agentflow_api.console.charts.scale import Scale, scale_of

_GAP = 0.15
# A value that is not 0 can be seen.
_LEAST = 2.0


def bar_chart(chart: Chart) -> Markup:
    """A figure of bars. Where nothing is known there is none, and the hover says so."""
    count = len(chart.places)
    heights = [height for index in range(count) for height in _edges(chart, index)]
    limit = [] if chart.limit is None else [chart.limit]
    # A limit far above all bars would flatten them: it is drawn only where it is near.
    near = limit if heights and limit and limit[0] <= 2 * max(heights) else []
    scale = scale_of([*heights, *near], chart.unit)
    return framed(chart, scale, [_bar(chart, scale, index) for index in range(count)])


def _edges(chart: Chart, index: int) -> list[float]:
    """Where the parts of a bar begin and end: those above 0 upwards, those below it downwards."""
    up, down, edges = 0.0, 0.0, []
    for one in chart.series:
        value = one.at(index) or 0
        up, down = up + max(value, 0), down + min(value, 0)
        edges.append(up if value >= 0 else down)
    return [*edges, 0]


def _bar(chart: Chart, scale: Scale, index: int) -> Markup:
    left, width = column(index, len(chart.places))
    hover = element("rect", x=left, y=0, width=width, height=HEIGHT, class_="chart-hit")
    parts = [
        _part(scale, (left + width * _GAP, width * (1 - 2 * _GAP)), span, number)
        for number, span in _spans(chart, index)
    ]
    return element("g", element("title", at_place(chart, index)), hover, *parts, class_="chart-mark")


def _spans(chart: Chart, index: int) -> list[tuple[int, tuple[float, float]]]:
    found, ups, downs = [], [0.0], [0.0]
    for number, one in enumerate(chart.series, 1):
        value = one.at(index)
        if not value:
            continue
        stack = ups if value > 0 else downs
        stack.append(stack[-1] + value)
        found.append((number, list(pairwise(stack))[-1]))
    return found


def _part(scale: Scale, across: tuple[float, float], span: tuple[float, float], number: int) -> Markup:
    low, high = sorted(HEIGHT - scale.part(edge) * HEIGHT for edge in span)
    height = max(high - low, _LEAST)
    return element(
        "rect", x=across[0], y=high - height, width=across[1], height=height, class_=f"series-{number}"
    )
