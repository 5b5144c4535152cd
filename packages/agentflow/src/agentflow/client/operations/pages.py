"""Listings: page after page, as one series."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentflow.client.operations.operation import Operation

if TYPE_CHECKING:
    from agentflow.client.engine import Engine

type Place = str | int | None


@dataclass(frozen=True, slots=True)
class Page[T]:
    """Some items, and where the next ones are: None behind the last page."""

    items: list[T]
    following: Place


@dataclass(frozen=True, slots=True)
class Pages[T]:
    """Every page, asked for when the one before is used up.

    Attributes:
        page: The request for the page at a place; None is the first.
        name: Of an item. Items that move to a later page meanwhile come once, when it is given.
    """

    page: Callable[[Place], Operation[Page[T]]]
    name: Callable[[T], Hashable] | None = None

    async def items(self, engine: Engine) -> AsyncGenerator[T]:
        """One by one; a round trip a page."""
        seen: set[Hashable] = set()
        place: Place = None
        while True:
            page = await engine.call(self.page(place))
            for item in page.items:
                if self.name is None:
                    yield item
                elif (name := self.name(item)) not in seen:
                    seen.add(name)
                    yield item
            if page.following is None:
                return
            place = page.following
