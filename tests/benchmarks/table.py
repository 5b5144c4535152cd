"""A report as text: the goals first, then everything else that was measured."""

from collections.abc import Iterator

from tests.benchmarks.goals import BY_KEY, GOALS, Goal
from tests.benchmarks.report import Figure, Report

Line = tuple[str, str, str, str, str, str]


def table(report: Report) -> str:
    """Every goal with what was measured for it, and the figures behind them."""
    goals = [_goal_line(report, goal) for goal in GOALS]
    rest = [_figure_line(figure) for key, figure in report.figures.items() if key not in BY_KEY]
    lines = [("figure", "goal", "median", "lowest", "highest", ""), *goals]
    if rest:
        lines += [("", "", "", "", "", ""), ("measured on the way", "", "", "", "", "unit"), *rest]
    return "\n".join(_aligned(lines))


def _goal_line(report: Report, goal: Goal) -> Line:
    figure = report.figures.get(goal.key)
    if figure is None:
        asked = "measured by make bench-peers" if goal.peers else "not asked for"
        return (goal.label, goal.text(), "-", "-", "-", asked)
    verdict = "met" if goal.met(figure.median) else "NOT MET"
    return (goal.label, goal.text(), *_numbers(figure), verdict)


def _figure_line(figure: Figure) -> Line:
    return (figure.label, "", *_numbers(figure), figure.unit)


def _numbers(figure: Figure) -> tuple[str, str, str]:
    return number(figure.median), number(figure.low), number(figure.high)


def number(value: float) -> str:
    """Three digits that count; whole numbers from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _aligned(lines: list[Line]) -> Iterator[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        first, *middle, last = line
        cells = [cell.rjust(width) for cell, width in zip(middle, widths[1:], strict=False)]
        yield "  ".join([first.ljust(widths[0]), *cells, last]).rstrip()
