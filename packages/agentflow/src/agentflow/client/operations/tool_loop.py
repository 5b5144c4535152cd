"""Running the tools that an agent asks its client to run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from agentflow.client.errors import TooManyRoundsError
from agentflow.client.models import InvokeResult
from agentflow.client.operations.graph import invoke
from agentflow.client.operations.inputs import Messages, RunOptions
from agentflow.core.state.blocks import RemoteToolCallBlock, ToolResultBlock
from agentflow.core.state.message import Message
from agentflow.errors import InvalidInputError

if TYPE_CHECKING:
    from agentflow.client.engine import Engine

type Tools = Mapping[str, Callable[..., Any]]

_DEFAULT_ROUNDS = 25


@dataclass(frozen=True, slots=True)
class ToolLoop:
    """An invoke, and one more for each time that the agent asks for tools."""

    messages: Messages
    tools: Tools
    options: RunOptions

    async def perform(self, engine: Engine) -> InvokeResult:
        """To the answer that asks for no tool."""
        self._check(engine)
        rounds = self.options.get("recursion_limit", _DEFAULT_ROUNDS)
        result = await engine.call(invoke(self.messages, **self.options))
        for _ in range(rounds):
            calls = result.open_calls()
            if not calls:
                return result
            answers = [await self._answer(call, engine) for call in calls]
            result = await engine.call(invoke(Message.tool_message([*answers]), **self._again(result)))
        if result.open_calls():
            raise TooManyRoundsError(result, rounds)
        return result

    def _check(self, engine: Engine) -> None:
        for name, tool in self.tools.items():
            if inspect.iscoroutinefunction(tool) and not engine.transport.awaits:
                raise InvalidInputError(f"Tool {name!r} is to be awaited: use AsyncAgentFlowClient for it.")

    def _again(self, result: InvokeResult) -> RunOptions:
        """The same options, on the thread that it is now; each round is a request of its own."""
        options = self.options.copy()
        options["thread_id"] = result.thread_id
        options.pop("idempotency_key", None)
        options.pop("initial_state", None)
        options.pop("resume", None)
        return options

    async def _answer(self, call: RemoteToolCallBlock, engine: Engine) -> ToolResultBlock:
        tool = self.tools.get(call.name)
        if tool is None:
            return _failed(call, f"There is no tool {call.name!r} here.")
        try:
            output = await engine.transport.run(tool, call.args)
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is for the agent to read
            return _failed(call, f"{type(error).__name__}: {error}")
        return ToolResultBlock(call_id=call.id, output=output, status="completed")


def run_tools(messages: Messages, tools: Tools, **options: Unpack[RunOptions]) -> ToolLoop:
    """Run the agent, and the tools that it asks for, until it asks for none.

    Args:
        messages: What is said.
        tools: By name. The async client also awaits those that are to be, and runs others in a thread.
            What one raises is told to the agent as its result.
        options: See `RunOptions`; `recursion_limit` also bounds the rounds.

    Raises:
        InvalidInputError: A tool is to be awaited, and this client does not; nothing was sent.
        TooManyRoundsError: It still asked in the last round.
    """
    return ToolLoop(messages, tools, options)


def _failed(call: RemoteToolCallBlock, why: str) -> ToolResultBlock:
    return ToolResultBlock(call_id=call.id, output=why, is_error=True, status="failed")
