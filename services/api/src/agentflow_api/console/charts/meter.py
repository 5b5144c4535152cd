"""How much of what is allowed is used."""

from typing import Final

from markupsafe import Markup

from agentflow_api.console.charts.markup import element, percent
from agentflow_api.console.charts.units import COUNT, Unit

_NEAR: Final = 0.8


def meter(name: str, used: float, limit: float | None, unit: Unit = COUNT) -> Markup:
    """A bar that fills as `used` nears `limit`; without a limit there is no bar, but the same words.

    Its colour changes at four fifths and at the limit, and so does a word in its text.
    """
    if limit is None:
        return element("span", f"{unit.short(used)}, no limit", class_="meter-words", title=unit.exact(used))
    part = min(1.0, max(0.0, used / limit)) if limit > 0 else 1.0
    state = "full" if part >= 1 else "near" if part >= _NEAR else "fine"
    said = f"{name}: {unit.exact(used)} of {unit.exact(limit)}, {part:.0%}"
    bar = element(
        "svg",
        element("title", said),
        element("rect", x=0, y=0, width="100%", height="100%", rx=4, class_="meter-track"),
        element("rect", x=0, y=0, width=percent(part), height="100%", rx=4, class_=f"meter-{state}"),
        class_="meter",
        role="img",
        aria_label=said,
    )
    words = f"{unit.short(used)} of {unit.short(limit)}"
    if state != "fine":
        words += ", at the limit" if state == "full" else ", near the limit"
    return element("span", bar, element("span", words, class_="meter-words"), class_="metered")
