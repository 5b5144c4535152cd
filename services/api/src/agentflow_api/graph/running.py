"""The runs of this process, so that a stop of the process can reach them."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from agentflow.core.graph import CompiledGraph
from agentflow.errors import AgentFlowError
from agentflow_api.http.problems import StoppingError

logger = logging.getLogger("agentflow.api")

# A run that had not written its input yet could not be told; it is told again.
_TELL_AGAIN_S: Final = 0.5


class RunningRuns:
    """Counts runs in, and stops them at their next node boundary when the process has to end."""

    def __init__(self) -> None:
        """None runs yet."""
        self._runs: dict[object, tuple[CompiledGraph[Any], Mapping[str, Any]]] = {}
        self._stopping = False

    @contextmanager
    def entered(self, graph: CompiledGraph[Any], config: Mapping[str, Any]) -> Iterator[None]:
        """A run for the length of a block.

        Raises:
            StoppingError: Too late to start one here.
        """
        if self._stopping:
            raise StoppingError("This process is being replaced; try again.")
        key = object()
        self._runs[key] = (graph, config)
        try:
            yield
        finally:
            del self._runs[key]

    async def stop(self) -> None:
        """Refuse new runs; return when those under way have stopped, durable, to go on elsewhere."""
        self._stopping = True
        while self._runs:
            logger.info("Stopping; %d runs go on to their next node boundary.", len(self._runs))
            for graph, config in list(self._runs.values()):
                try:
                    await graph.astop(config)
                except AgentFlowError as error:
                    logger.warning("A run could not be told to stop: %s", error)
            await asyncio.sleep(_TELL_AGAIN_S)
