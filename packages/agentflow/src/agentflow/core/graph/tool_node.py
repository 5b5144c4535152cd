"""A node that runs the tools an assistant asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from agentflow.core.graph.context import node_context
from agentflow.core.graph.node import call_function
from agentflow.core.graph.tool_schema import Tool, ToolArgumentsError
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.blocks import RemoteToolCallBlock, ToolCallBlock, ToolResultBlock
from agentflow.core.state.message import Message
from agentflow.core.state.pending_calls import pending_calls
from agentflow.errors import GraphDefinitionError, StateEncodingError
from agentflow.integrations.openai_chat import RAW_ARGUMENTS
from agentflow.utils.command import Command
from agentflow.utils.constants import DEFAULT_TOOL_TIMEOUT_S, END
from agentflow.utils.jsontext import json_text


class ToolNode:
    """Runs the pending tool calls of the context side by side and answers each with a result.

    A tool is a function: its signature and docstring are what the model sees. Parameters named
    `state`, `config` and `tool_call_id` are filled in and not shown. Whatever a tool raises becomes a
    failed result that the model can react to; only `interrupt()` reaches through, and pauses the run.

    Remote tools run at the client: a call to one ends the run with a message that asks for it, and the
    client's result starts the next.
    """

    def __init__(
        self, tools: Iterable[Callable[..., Any]] = (), remote_tools: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """Take the tools.

        Args:
            tools: Functions, async or blocking.
            remote_tools: `{"name", "description", "parameters"}` each, `parameters` a JSON schema.

        Raises:
            GraphDefinitionError: A tool is no function, or a name stands twice.
        """
        self._tools: dict[str, Tool] = {}
        self._remote: dict[str, dict[str, Any]] = {}
        for function in tools:
            self.add_tool(function)
        for described in remote_tools:
            self._add_remote(described)

    def add_tool(self, function: Callable[..., Any]) -> None:
        """Add a tool that runs here."""
        tool = Tool(function)
        self._check_free(tool.name)
        self._tools[tool.name] = tool

    def all_tools(self) -> list[dict[str, Any]]:
        """Every tool, remote ones too, as OpenAI-compatible endpoints take them."""
        local = [tool.as_openai() for tool in self._tools.values()]
        return local + [{"type": "function", "function": described} for described in self._remote.values()]

    def describe(self) -> list[dict[str, Any]]:
        """Every tool as `{"name", "description", "parameters", "source"}`; source is `local` or `remote`."""
        return [
            {**tool["function"], "source": "remote" if tool["function"]["name"] in self._remote else "local"}
            for tool in self.all_tools()
        ]

    async def __call__(self, state: AgentState, config: dict[str, Any]) -> list[Message] | Command:
        """Answer the pending calls: one message of role `tool` per call, in their order."""
        calls = [call for call in pending_calls(state.context).values() if isinstance(call, ToolCallBlock)]
        remote = [call for call in calls if call.name in self._remote]
        local = [call for call in calls if call.name not in self._remote]
        answers = (self._answer(call, state, config) for call in local)
        outcomes = await asyncio.gather(*answers, return_exceptions=True)
        # Only a pause gets here as an exception; it waits until the other tools have ended.
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        messages = [
            Message.tool_message([outcome]) for outcome in outcomes if not isinstance(outcome, BaseException)
        ]
        if not remote:
            return messages
        asked = [RemoteToolCallBlock(id=call.id, name=call.name, args=call.args) for call in remote]
        return Command(update=[*messages, Message.tool_message(list(asked))], goto=END)

    async def _answer(
        self, call: ToolCallBlock, state: AgentState, config: dict[str, Any]
    ) -> ToolResultBlock:
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join([*self._tools, *self._remote]) or "none"
            return _failed(call, f"There is no tool {call.name!r}. Known tools: {known}.")
        if RAW_ARGUMENTS in call.args:
            return _failed(call, "The arguments were not valid JSON: call the tool again with a JSON object.")
        context = node_context.get()
        timeout_s = DEFAULT_TOOL_TIMEOUT_S if context is None else context.tool_timeout_s
        deadline = asyncio.timeout(timeout_s)
        try:
            arguments = tool.arguments(call.args, {"state": state, "config": config, "tool_call_id": call.id})
            async with deadline:
                output = await call_function(tool.function, **arguments)
            return ToolResultBlock(call_id=call.id, output=_data(output), status="completed")
        except ToolArgumentsError as error:
            return _failed(call, str(error))
        except TimeoutError as error:
            over = deadline.expired()
            return _failed(
                call, f"Tool {call.name} took longer than {timeout_s:g} s." if over else _told(error)
            )
        except Exception as error:  # noqa: BLE001 - a tool is the user's code: an edge
            return _failed(call, _told(error))

    def _add_remote(self, described: Mapping[str, Any]) -> None:
        name = described.get("name")
        if not isinstance(name, str) or not name:
            raise GraphDefinitionError("A remote tool needs a name.")
        self._check_free(name)
        self._remote[name] = {
            "name": name,
            "description": str(described.get("description", "")),
            "parameters": dict(described.get("parameters") or {"type": "object", "properties": {}}),
        }

    def _check_free(self, name: str) -> None:
        if name in self._tools or name in self._remote:
            raise GraphDefinitionError(f"There are two tools named {name!r}.")


def route_tools(tool_node: str = "TOOL") -> Callable[[AgentState], str]:
    """A router for `add_conditional_edges`: to the tools while calls are pending, to END when none are."""

    def router(state: AgentState) -> str:
        return tool_node if pending_calls(state.context) else END

    return router


def _data(output: Any) -> Any:
    """A tool's output as JSON data."""
    if isinstance(output, Message):
        output = output.content
    try:
        data = to_jsonable_python(output, inf_nan_mode="constants")
        json_text(data, field="output")
    except (PydanticSerializationError, StateEncodingError, ValueError, TypeError) as error:
        raise ValueError(f"the tool's output is no JSON data ({type(output).__name__})") from error
    return data


def _failed(call: ToolCallBlock, reason: str) -> ToolResultBlock:
    return ToolResultBlock(call_id=call.id, output=reason, is_error=True, status="failed")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
