"""Elements of HTML and SVG, escaped as they are made."""

from collections.abc import Iterable
from typing import Final

from markupsafe import Markup, escape

type Child = Markup | str
_EMPTY: Final = frozenset({"rect", "line", "path", "polyline"})


def element(name: str, *children: Child, **attributes: object) -> Markup:
    """An element; its texts and attributes are escaped, Markup among its children is not.

    Args:
        name: Ours, never a user's.
        children: What is inside.
        attributes: `class_` is `class`, `_` otherwise `-`; None leaves one out.
    """
    told = Markup("").join(
        Markup(' {}="{}"').format(_name(key), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    if not children and name in _EMPTY:
        return Markup("<{}{}/>").format(name, told)
    return Markup("<{0}{1}>{2}</{0}>").format(name, told, joined(children))


def joined(children: Iterable[Child]) -> Markup:
    """One after the other, each escaped that is no Markup."""
    return Markup("").join(escape(child) for child in children)


def number(value: float) -> str:
    """A coordinate: two decimals at most, and no `-0`."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def percent(part: float) -> str:
    """A part of the whole width."""
    return number(part * 100) + "%"


def _name(key: str) -> str:
    if key in ("viewBox", "preserveAspectRatio"):
        return key
    return key.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
