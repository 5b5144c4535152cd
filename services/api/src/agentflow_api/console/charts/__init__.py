"""Charts as SVG and HTML from the server: no script, no style attribute, numbers on hover and as a table."""

from agentflow_api.console.charts.bars import bar_chart
from agentflow_api.console.charts.data import Chart, Place, Series, places_in_time
from agentflow_api.console.charts.lines import line_chart
from agentflow_api.console.charts.meter import meter
from agentflow_api.console.charts.spans import Span, span_bar
from agentflow_api.console.charts.units import BYTES, COUNT, MILLISECONDS, Unit

__all__ = [
    "BYTES",
    "COUNT",
    "MILLISECONDS",
    "Chart",
    "Place",
    "Series",
    "Span",
    "Unit",
    "bar_chart",
    "line_chart",
    "meter",
    "places_in_time",
    "span_bar",
]
