"""As much of TraceQL as the dashboards ask, answered from spans that a collector got."""

import re
from collections.abc import Callable, Iterable
from typing import Any

_QUERY = re.compile(r"{ (?P<where>.+) } \| select\((?P<shown>.+)\)")
_CONDITION = re.compile(r'(?P<what>[\w.]+) (?P<how>=~|=|>) (?P<value>"[^"]*"|\w+)')
_KINDS = {"internal": 1, "server": 2, "client": 3}
_STATUSES = {"unset": 0, "ok": 1, "error": 2}

Span = dict[str, Any]


def found(query: str, spans: Iterable[Span]) -> list[Span]:
    """Spans that a query selects; how long they took is not looked at.

    Raises:
        ValueError: It asks what this does not know.
    """
    conditions = [_condition(part) for part in _parts(query)["where"].split(" && ")]
    return [span for span in spans if all(holds(span) for holds in conditions)]


def shown(query: str) -> set[str]:
    """Attributes that it shows of each."""
    return {name.removeprefix("span.") for name in _parts(query)["shown"].split(", ")}


def _parts(query: str) -> re.Match[str]:
    if (parts := _QUERY.fullmatch(query)) is None:
        raise ValueError(query)
    return parts


def _condition(text: str) -> Callable[[Span], bool]:
    if (parts := _CONDITION.fullmatch(text)) is None:
        raise ValueError(text)
    what, how, value = parts["what"], parts["how"], parts["value"].strip('"')
    match what.partition(".")[0], how:
        case "span", "=":
            return lambda span: span["attributes"].get(what.removeprefix("span.")) == value
        case "name", "=~":
            return lambda span: re.fullmatch(value, span["name"]) is not None
        case "kind", "=":
            return lambda span: span["kind"] == _KINDS[value]
        case "status", "=":
            return lambda span: span["status"] == _STATUSES[value]
        case "duration", ">":
            return lambda _: True
    raise ValueError(text)
