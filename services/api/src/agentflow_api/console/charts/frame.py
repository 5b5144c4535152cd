"""What is around a plot: title, axes, legend, and the numbers as a table.

Words stand beside the drawing as HTML and not in it: the drawing is stretched to the width there is, and they
stay as large as they are. Ticks are evenly spaced, so the style sheet places them.
"""

from typing import Final

from markupsafe import Markup

from agentflow_api.console.charts.data import Chart
from agentflow_api.console.charts.markup import Child, element, joined
from agentflow_api.console.charts.scale import Scale

WIDTH: Final = 1000
HEIGHT: Final = 200
UNKNOWN: Final = "no data"
_MOST_LABELS: Final = 6
# Of places whose names are so short that they stand beside each other on a phone.
_MOST_SHORT_LABELS: Final = 12
_SHORT: Final = 4


def framed(chart: Chart, scale: Scale, marks: list[Markup]) -> Markup:
    """A figure of marks that were drawn on a field of WIDTH times HEIGHT."""
    plot = element(
        "svg",
        *_grid(scale),
        *marks,
        *_limit(chart, scale),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        class_="chart-plot",
        role="img",
        aria_label=summary(chart),
    )
    ticks = [element("span", chart.unit.short(tick)) for tick in reversed(scale.ticks)]
    return element(
        "figure",
        element("figcaption", element("strong", chart.title), *_legend(chart)),
        element(
            "div",
            element("div", *ticks, class_="chart-y", aria_hidden="true"),
            plot,
            element("div", *_labels(chart), class_=_kind_of_axis(chart), aria_hidden="true"),
            class_="chart-field",
        ),
        numbers(chart),
        class_="chart",
    )


def summary(chart: Chart) -> str:
    """The chart in a sentence."""
    known, unit = chart.known, chart.unit
    if not known:
        return f"{chart.title}: {UNKNOWN}"
    span = f"from {unit.exact(min(known))} to {unit.exact(max(known))}"
    return f"{chart.title}: {len(chart.places)} values by {chart.heading.lower()}, {span}"


def at_place(chart: Chart, index: int) -> str:
    """What is said on hover at a place."""
    said = [f"{one.name}: {_told(chart, one.at(index))}" for one in chart.series]
    return "\n".join([chart.places[index].whole, *said])


def numbers(chart: Chart) -> Markup:
    """All values, to be unfolded."""
    head = [element("th", name, scope="col") for name in (chart.heading, *(one.name for one in chart.series))]
    rows = [
        element(
            "tr",
            element("th", place.whole, scope="row"),
            *(element("td", _told(chart, one.at(index))) for one in chart.series),
        )
        for index, place in enumerate(chart.places)
    ]
    table = element(
        "table",
        element("caption", chart.title, class_="visually-hidden"),
        element("thead", element("tr", *head)),
        element("tbody", *rows),
        class_="chart-numbers",
    )
    # A region that scrolls is reached by keyboard.
    field = element("div", table, class_="scrolls", tabindex=0, role="region", aria_label=chart.title)
    return element("details", element("summary", "Numbers"), field, class_="chart-details")


def column(index: int, count: int) -> tuple[float, float]:
    """Where the column of a place begins, and how wide it is."""
    width = WIDTH / max(count, 1)
    return index * width, width


def _told(chart: Chart, value: float | None) -> str:
    return UNKNOWN if value is None else chart.unit.exact(value)


def _grid(scale: Scale) -> list[Markup]:
    lines = []
    for tick in scale.ticks:
        y = HEIGHT - scale.part(tick) * HEIGHT
        kind = "chart-zero" if tick == 0 else "chart-grid"
        lines.append(element("line", x1=0, x2=WIDTH, y1=y, y2=y, class_=kind))
    return lines


def _limit(chart: Chart, scale: Scale) -> list[Markup]:
    if chart.limit is None or not scale.low <= chart.limit <= scale.high:
        return []
    y = HEIGHT - scale.part(chart.limit) * HEIGHT
    title = element("title", f"Limit: {chart.unit.exact(chart.limit)}")
    return [element("g", title, element("line", x1=0, x2=WIDTH, y1=y, y2=y, class_="chart-limit"))]


def _labels(chart: Chart) -> list[Markup]:
    """Of some places, evenly spaced; on a narrow screen every other one is left out."""
    count = len(chart.places)
    if _are_all_labelled(chart):
        return [element("span", place.short) for place in chart.places]
    step = (count - 1) / (_MOST_LABELS - 2)
    chosen = [round(number * step) for number in range(_MOST_LABELS - 1)]
    return [element("span", chart.places[index].short) for index in chosen]


def _kind_of_axis(chart: Chart) -> str:
    """Labels of all places stand below their middles; of some, the first and the last at the ends."""
    return "chart-x all" if _are_all_labelled(chart) else "chart-x some"


def _are_all_labelled(chart: Chart) -> bool:
    are_short = all(len(place.short) <= _SHORT for place in chart.places)
    return len(chart.places) <= (_MOST_SHORT_LABELS if are_short else _MOST_LABELS)


def _legend(chart: Chart) -> list[Child]:
    if len(chart.series) < 2:
        return []
    entries = [
        element("span", element("i", class_=f"chart-swatch series-{place}", aria_hidden="true"), one.name)
        for place, one in enumerate(chart.series, 1)
    ]
    return [element("span", joined(entries), class_="chart-legend")]
