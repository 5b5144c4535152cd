"""A bar of a waterfall: when a part of a whole began, and how long it took."""

from dataclasses import dataclass

from markupsafe import Markup

from agentflow_api.console.charts.markup import element, percent
from agentflow_api.console.charts.units import short_ms

# A part that took next to nothing can be seen.
_LEAST = 0.004


@dataclass(frozen=True, slots=True)
class Span:
    """Times in milliseconds; `kind` colours it and is one of run, node, model, tool, other, error."""

    name: str
    kind: str
    offset_ms: float
    duration_ms: float


def span_bar(span: Span, whole_ms: float) -> Markup:
    """The bar on a line as long as the whole."""
    begin = min(1 - _LEAST, max(0.0, span.offset_ms / whole_ms)) if whole_ms > 0 else 0.0
    width = min(1 - begin, max(_LEAST, span.duration_ms / whole_ms)) if whole_ms > 0 else 1.0
    said = f"{span.name}: {short_ms(span.duration_ms)}, begun {short_ms(span.offset_ms)} after the start"
    return element(
        "svg",
        element("title", said),
        element("rect", x=0, y="45%", width="100%", height="10%", class_="span-track"),
        element(
            "rect",
            x=percent(begin),
            y="15%",
            width=percent(width),
            height="70%",
            rx=2,
            class_=f"span-{span.kind}",
        ),
        class_="span-bar",
        role="img",
        aria_label=said,
    )
