"""An answer of many JSON objects, read one by one."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentflow.client.errors import UnreadableAnswerError
from agentflow.client.lines import lines
from agentflow.client.operations.operation import Operation

if TYPE_CHECKING:
    from agentflow.client.engine import Engine


@dataclass(frozen=True, slots=True)
class JsonLines[T]:
    """Each line of an answer, read as the operation says."""

    operation: Operation[T]

    async def items(self, engine: Engine) -> AsyncGenerator[T]:
        """One by one; one round trip."""
        async with (
            engine.opened(self.operation) as response,
            aclosing(lines(engine.pieces(response))) as found,
        ):
            async for line in found:
                yield self._read(line)

    def _read(self, line: bytes) -> T:
        try:
            return self.operation.read(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise UnreadableAnswerError(
                f"A line of {self.operation.path} is not what was asked for."
            ) from error
