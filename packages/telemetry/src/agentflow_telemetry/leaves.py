"""Spans of storage that are counted where they end, and are nothing else."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable


class Leaf(Protocol):
    """What is left of one: `agentflow.utils.counted_leaf` makes them."""

    @property
    def name(self) -> str:
        """Of what was done."""

    @property
    def kind(self) -> Literal["INTERNAL", "CLIENT", "CONSUMER"]:
        """As OpenTelemetry names them."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Whose it was and what came of it."""

    @property
    def failed(self) -> str | None:
        """Why it went wrong, if it did."""

    @property
    def seconds(self) -> float:
        """It took."""


@runtime_checkable
class CountsLeaves(Protocol):
    """A processor that needs no more of a span of storage than that."""

    def on_leaf(self, leaf: Leaf) -> None:
        """It is over."""
