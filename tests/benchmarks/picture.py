"""The goals as a picture: a bar for each figure, as long as it is better than its goal.

Plain SVG text, so that it needs no library, renders everywhere, and changes with its figures alone.
"""

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from tests.benchmarks.goals import GOALS, Goal
from tests.benchmarks.report import Figure, Report
from tests.benchmarks.table import number

WIDTH, LABELS, NUMBERS = 960, 430, 190
ROW, TOP, BOTTOM = 26, 52, 34
PLOT = WIDTH - LABELS - NUMBERS
# The axis is logarithmic, from a quarter of the goal to four times as good.
REACH = 4.0
MARKS = ((0.25, "a quarter"), (0.5, "half"), (1.0, "goal"), (2.0, "2 x better"), (4.0, "4 x"))
GOOD, BAD, INK, FAINT = "#2a7f62", "#c0504d", "#22292f", "#d8dee4"

Row = tuple[Goal, Figure]


def draw(report: Report) -> str:
    """The picture of the figures that a report has, as SVG."""
    rows = [(goal, report.figures[goal.key]) for goal in GOALS if goal.key in report.figures]
    height = TOP + ROW * len(rows) + BOTTOM
    parts = [*_frame(height), *_axis(height)]
    for place, row in enumerate(rows):
        parts += _bar(TOP + ROW * place, row)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame(height: int) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="13">'
    )
    yield f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    yield _text(16, 26, "Measured against the goals", size=16, weight="600")
    yield _text(WIDTH - 16, 26, "measured (goal)", anchor="end", fill="#57606a")


def _axis(height: int) -> Iterator[str]:
    for value, name in MARKS:
        x = _x(value)
        style = f'stroke="{INK}" stroke-width="1.5"' if value == 1 else f'stroke="{FAINT}"'
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10}" y2="{height - BOTTOM}" {style}/>'
        yield _text(x, height - 14, name, anchor="middle", size=11, fill="#57606a")


def _bar(y: int, row: Row) -> Iterator[str]:
    goal, figure = row
    start, end = _x(1 / REACH), _x(goal.reached(figure.median))
    colour = GOOD if goal.met(figure.median) else BAD
    yield _text(LABELS - 12, y + 12, goal.label, anchor="end")
    length = max(end - start, 1)
    yield f'<rect x="{start:.1f}" y="{y}" width="{length:.1f}" height="15" rx="2" fill="{colour}"/>'
    low, high = sorted((_x(goal.reached(figure.low)), _x(goal.reached(figure.high))))
    yield (
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 7.5}" y2="{y + 7.5}" '
        f'stroke="{INK}" stroke-width="2" stroke-opacity="0.55"/>'
    )
    value = f"{number(figure.median)} {goal.unit}  ({goal.text()})"
    yield _text(WIDTH - 16, y + 12, value, anchor="end", fill=colour)


def _x(reached: float) -> float:
    """Where a share of the goal is on the axis."""
    share = min(max(reached, 1 / REACH), REACH)
    return LABELS + PLOT * (math.log(share * REACH) / math.log(REACH * REACH))


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 13,
    weight: str = "400",
    fill: str = INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{fill}">{escape(words)}</text>'
    )
