"""Lines: how values go on; where nothing is known a line ends, and another begins behind it."""

from collections.abc import Iterator

from markupsafe import Markup

from agentflow_api.console.charts.data import Chart, Series
from agentflow_api.console.charts.frame import HEIGHT, at_place, column, framed
from agentflow_api.console.charts.markup import element, number
from agentflow_api.console.charts.scale import Scale, scale_of

type Point = tuple[float, float]


def line_chart(chart: Chart) -> Markup:
    """A figure of lines, one for each series."""
    limit = [] if chart.limit is None else [chart.limit]
    scale = scale_of([*chart.known, *limit], chart.unit)
    count = len(chart.places)
    lines = [
        _line(run, place)
        for place, one in enumerate(chart.series, 1)
        for run in runs_of(one, count, scale, HEIGHT)
    ]
    return framed(chart, scale, [*lines, *(_hover(chart, index) for index in range(count))])


def runs_of(series: Series, count: int, scale: Scale, height: float) -> Iterator[list[Point]]:
    """The points between gaps, each in the middle of its place's column."""
    run: list[Point] = []
    for index in range(count):
        value = series.at(index)
        if value is not None:
            left, width = column(index, count)
            run.append((left + width / 2, height - scale.part(value) * height))
        elif run:
            yield run
            run = []
    if run:
        yield run


def path_of(points: list[Point]) -> str:
    """A path through points; a single one is a dot, which a round line of no length shows."""
    words = [f"{number(x)} {number(y)}" for x, y in points]
    return "M" + "L".join(words if len(words) > 1 else words * 2)


def _line(points: list[Point], place: int) -> Markup:
    kind = "chart-dot" if len(points) == 1 else "chart-line"
    return element("path", d=path_of(points), class_=f"{kind} series-{place}")


def _hover(chart: Chart, index: int) -> Markup:
    left, width = column(index, len(chart.places))
    field = element("rect", x=left, y=0, width=width, height=HEIGHT, class_="chart-hit")
    return element("g", element("title", at_place(chart, index)), field, class_="chart-mark")
