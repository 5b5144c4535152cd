"""Both faces of the client as one that blocks, so that each test of it is run on both."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from agentflow.client import AgentFlowClient, AsyncAgentFlowClient, RetryPolicy

FACES = ("blocking", "awaited")
# Waits that nobody notices.
QUICK = RetryPolicy(max_retries=4, first_wait_s=0.001, longest_wait_s=0.002)


class Face:
    """A client of either kind.

    `face(lambda client: client.threads.get("t"))` is the result, `face.each(...)` iterates over results.
    """

    def __init__(self, client: Any, runner: asyncio.Runner | None) -> None:
        self.client = client
        self._runner = runner

    def __call__(self, ask: Callable[[Any], Any]) -> Any:
        if self._runner is None:
            return ask(self.client)
        return self._runner.run(self._awaited(ask))

    def each(self, ask: Callable[[Any], Any]) -> Generator[Any]:
        items = ask(self.client)
        if self._runner is None:
            yield from items
            return
        try:
            while (found := self._runner.run(_next(items))) is not None:
                yield found
        finally:
            self._runner.run(items.aclose())

    def all(self, ask: Callable[[Any], Any]) -> list[Any]:
        return list(self.each(ask))

    async def _awaited(self, ask: Callable[[Any], Any]) -> Any:
        result = ask(self.client)
        return await result if inspect.isawaitable(result) else result


@contextmanager
def opened(kind: str, base_url: str, api_key: str | None = "secret-key", **options: Any) -> Iterator[Face]:
    """A client of that kind for the length of a block."""
    options.setdefault("retries", QUICK)
    if kind == "blocking":
        with AgentFlowClient(base_url, api_key, **options) as client:
            yield Face(client, None)
        return
    with asyncio.Runner() as runner:
        awaited = AsyncAgentFlowClient(base_url, api_key, **options)
        try:
            yield Face(awaited, runner)
        finally:
            runner.run(awaited.aclose())


async def _next(items: AsyncIterator[Any]) -> Any:
    return await anext(items, None)
