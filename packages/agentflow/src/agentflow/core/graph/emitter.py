"""Turns what happens in a run into the chunks its reader asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentflow.core.graph.chunks import StreamChunk, StreamEvent
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.message import Message
from agentflow.utils.constants import ResponseGranularity

Sink = Callable[[StreamChunk], None]


class Emitter:
    """Numbers a run's chunks and leaves out what the granularity does not ask for.

    Without a sink nothing is built, so an `invoke` pays nothing for it.
    """

    def __init__(
        self, thread_id: str, run_id: str, granularity: ResponseGranularity, sink: Sink | None
    ) -> None:
        self._thread_id = thread_id
        self._run_id = run_id
        self._granularity = granularity
        self._sink = sink
        self._seq = 0
        self.is_new_thread = False

    @property
    def streaming(self) -> bool:
        """Whether somebody reads along; a model call then streams too."""
        return self._sink is not None

    def message(self, message: Message, node: str) -> None:
        """A message, or with `delta` a piece of one."""
        self._send(StreamEvent.MESSAGE, node, message=message)

    def state(self, state: AgentState, node: str) -> None:
        """The state after a step; not at granularity low."""
        if self._granularity is not ResponseGranularity.LOW:
            self._send(StreamEvent.STATE, node, state=state)

    def update(self, status: str, node: str, step: int) -> None:
        """Progress of the run; at granularity full only."""
        if self._granularity is ResponseGranularity.FULL:
            self._send(StreamEvent.UPDATES, node, data={"status": status, "node": node, "step": step})

    def _send(self, event: StreamEvent, node: str, **content: Any) -> None:
        if self._sink is None:
            return
        metadata = {"is_new_thread": self.is_new_thread, "thread_id": self._thread_id, "node": node}
        chunk = StreamChunk(
            event=event,
            thread_id=self._thread_id,
            run_id=self._run_id,
            metadata=metadata,
            seq=self._seq,
            **content,
        )
        self._seq += 1
        self._sink(chunk)
