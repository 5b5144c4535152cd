"""Running a tool at most until it finished once: intents before, results after, keys that stay.

The key of a call names where it stands in the thread, not the try: the life of the thread, the turn, the
step and node, the message that made the call, and which call of the message it is.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agentflow.core.state.blocks import ToolResultBlock
from agentflow.core.state.pending_calls import PendingCall
from agentflow.storage.checkpointer.types import ToolIntent, ToolResult, ToolStart
from agentflow.utils.jsontext import json_text
from agentflow.utils.tool_call import ToolCall


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that the ledger knows of.

    Attributes:
        key: Its key there.
        call: What the tool may know of it.
        result: When it finished before: then it must not run.
    """

    key: uuid.UUID
    call: ToolCall
    result: ToolResultBlock | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands in a thread: the part of a key that its calls share."""

    tenant_id: uuid.UUID
    thread_no: int
    turn: int
    step: int
    node: str

    def key(self, pending: PendingCall) -> uuid.UUID:
        """Of a call made here. Cost: one hash."""
        call = (pending.message_id, pending.call.id, pending.nth)
        named = [self.tenant_id.hex, self.thread_no, self.turn, self.step, self.node, *call]
        return uuid.UUID(bytes=hashlib.blake2b(json.dumps(named).encode(), digest_size=16).digest())


class NodeTools:
    """The tools of one node in one step."""

    def __init__(
        self,
        place: Place,
        start: Callable[[Sequence[ToolIntent]], Awaitable[Sequence[ToolStart]]],
        finish: Callable[[ToolResult, bool], Awaitable[None]],
    ) -> None:
        """Nothing is written yet.

        Args:
            place: Of the node.
            start: Makes intents durable.
            finish: Takes a result; with True it is durable when this returns, else with the next checkpoint.
        """
        self._place = place
        self._start = start
        self._finish = finish

    async def begin(self, calls: Sequence[PendingCall]) -> list[Begun]:
        """Make durable that the calls are about to run. One round trip for all of them.

        Raises:
            What `ThreadSession.start_tools` raises; then none may run.
        """
        if not calls:
            return []
        node = self._place.node
        intents = [
            ToolIntent(self._place.key(pending), _plain(pending.call.id), pending.call.name, node)
            for pending in calls
        ]
        starts = await self._start(intents)
        return [_begun(pending, start) for pending, start in zip(calls, starts, strict=True)]

    async def finish(self, begun: Begun, result: ToolResultBlock, *, at_once: bool) -> None:
        """Keep a result: at once while other tools of the node still run, else with the node's checkpoint.

        Raises:
            What `ThreadSession.finish_tools` raises.
        """
        said = result.model_dump(mode="json", exclude={"type", "call_id"})
        await self._finish(ToolResult(begun.key, json_text(said, field="output")), at_once)


def untracked(pending: PendingCall) -> Begun:
    """A call outside of a graph, where nothing is durable."""
    key = uuid.uuid4()
    return Begun(key, ToolCall(str(key), 1, pending.call.id, pending.call.name))


def _begun(pending: PendingCall, start: ToolStart) -> Begun:
    result = None
    if start.result is not None:
        result = ToolResultBlock(**{**json.loads(start.result), "call_id": pending.call.id})
    call = ToolCall(str(start.key), start.attempt, pending.call.id, pending.call.name)
    return Begun(start.key, call, result)


def _plain(call_id: str) -> str:
    """An id as the ledger's column can hold it; the message keeps it as it is."""
    return call_id.replace("\0", "\ufffd")
