"""Values of labels, in bounds: of what others choose, such as tools' names, there may be any number."""

from __future__ import annotations

from typing import Final

from agentflow_telemetry.named_tenants import OTHER

_MOST: Final = 100
# Routes are as many as the program has, with each name of a request that they make.
_MOST_OF: Final = {"http_route": 400, "request": 400}
_MOST_CHARACTERS: Final = 128


class LabelValues:
    """The first values of each label; what comes after them is one."""

    def __init__(self) -> None:
        """None is known yet."""
        self._known: dict[str, set[str]] = {}

    def of(self, label: str, value: str) -> str:
        """The value as it is told."""
        known = self._known.setdefault(label, set())
        short = value[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
        if short in known:
            return short
        if len(known) >= _MOST_OF.get(label, _MOST):
            return OTHER
        known.add(short)
        return short
