"""An answer of many JSON objects, read one by one, over as many connections as it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentflow.client.errors import ConnectionFailedError, TimedOutError, UnreadableAnswerError
from agentflow.client.lines import lines
from agentflow.client.operations.operation import Operation
from agentflow.client.retries import Retrying

if TYPE_CHECKING:
    from agentflow.client.engine import Engine


@dataclass(frozen=True, slots=True)
class JsonLines[T]:
    """Each line of an answer that can be asked for again from any line on.

    Attributes:
        rest: The request for a version, None for the latest, behind so many lines.
        version_field: The answer's header field that names the version.
    """

    rest: Callable[[str | None, int], Operation[T]]
    version_field: str

    async def items(self, engine: Engine) -> AsyncGenerator[T]:
        """One by one; one round trip, and one more whenever the connection breaks.

        Raises:
            ConnectionFailedError, TimedOutError: It could not be made anew.
        """
        retrying = Retrying(engine.retries)
        version: str | None = None
        read = 0
        while True:
            operation = self.rest(version, read)
            async with engine.opened(operation) as response:
                version = response.headers.get(self.version_field, version)
                try:
                    async with aclosing(lines(engine.pieces(response))) as found:
                        async for line in found:
                            item = _item(operation, line)
                            read += 1
                            retrying.succeeded()
                            yield item
                except (ConnectionFailedError, TimedOutError) as error:
                    wait_s = retrying.wait_s(error) if version is not None else None
                    if wait_s is None:
                        raise
                else:
                    return
            await engine.transport.pause(wait_s)


def _item[T](operation: Operation[T], line: bytes) -> T:
    try:
        return operation.read(json.loads(line))
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableAnswerError(f"A line of {operation.path} is not what was asked for.") from error
