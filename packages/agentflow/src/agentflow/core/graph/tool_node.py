"""A node that runs the tools an assistant asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agentflow.core.graph.context import node_context
from agentflow.core.graph.node import call_function
from agentflow.core.graph.tool_output import output_data, storable
from agentflow.core.graph.tool_schema import Tool, ToolArgumentsError, checked_name
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.blocks import RemoteToolCallBlock, ToolCallBlock, ToolResultBlock
from agentflow.core.state.message import Message
from agentflow.core.state.pending_calls import pending_calls
from agentflow.errors import GraphDefinitionError
from agentflow.utils.command import Command
from agentflow.utils.constants import DEFAULT_TOOL_TIMEOUT_S, END, RAW_ARGUMENTS
from agentflow.utils.interrupt import GraphInterrupt, ResumeValues, resume_values

_Outcome = ToolResultBlock | RemoteToolCallBlock | GraphInterrupt


class ToolNode:
    """Runs the pending tool calls of the context side by side and answers each with a result.

    A tool is a function: its signature and docstring are what the model sees. Parameters named
    `state`, `config` and `tool_call_id` are filled in and not shown. Whatever a tool raises becomes a
    failed result that the model can react to; only `interrupt()` reaches through, and pauses the run.

    When some tools pause and others finish, the results are made durable first, so that an approval
    never runs again what stood beside it.

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
            GraphDefinitionError: A tool is no function a model can call, or a name stands twice.
        """
        self._tools: dict[str, Tool] = {}
        self._remote: dict[str, dict[str, Any]] = {}
        for function in tools:
            self.add_tool(function)
        for described in remote_tools:
            self._add_remote(described)

    def add_tool(self, function: Callable[..., Any]) -> None:
        """Add a tool that runs here.

        Raises:
            GraphDefinitionError: It is no function a model can call, or its name is taken.
        """
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
        """Answer the pending calls.

        Returns:
            One message of role `tool` per call, in their order; behind them, when remote tools were
            called, one that asks the client for those and ends the run.

        Raises:
            GraphInterrupt: Every call that is left waits for somebody's answer.
        """
        calls = [call for call in pending_calls(state.context).values() if isinstance(call, ToolCallBlock)]
        outcomes = await self._outcomes(calls, state, config)
        pauses = [outcome for outcome in outcomes if isinstance(outcome, GraphInterrupt)]
        messages = [
            Message.tool_message([outcome]) for outcome in outcomes if isinstance(outcome, ToolResultBlock)
        ]
        if pauses:
            return _results_before(pauses[0], messages)
        asked = [outcome for outcome in outcomes if isinstance(outcome, RemoteToolCallBlock)]
        if not asked:
            return messages
        return Command(update=[*messages, Message.tool_message([*asked])], goto=END)

    async def _outcomes(
        self, calls: Sequence[ToolCallBlock], state: AgentState, config: dict[str, Any]
    ) -> list[_Outcome]:
        outcomes = await asyncio.gather(
            *(
                self._outcome(call, state, config, answers)
                for call, answers in zip(calls, self._answers(calls), strict=True)
            ),
            return_exceptions=True,
        )
        found: list[_Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, GraphInterrupt):
                raise outcome
            found.append(outcome)
        return found

    def _answers(self, calls: Sequence[ToolCallBlock]) -> list[ResumeValues | None]:
        """For each call the answers to its interrupts.

        Calls that did not pause were answered for good before anybody was asked (`_results_before`),
        so what was answered so far belongs to the first one still pending that can ask at all.
        """
        given = resume_values.get()
        answers = [None if given is None else ResumeValues([]) for _ in calls]
        asking = next((i for i, call in enumerate(calls) if call.name in self._tools), None)
        if asking is not None:
            answers[asking] = given
        return answers

    async def _outcome(
        self, call: ToolCallBlock, state: AgentState, config: dict[str, Any], answers: ResumeValues | None
    ) -> _Outcome:
        if RAW_ARGUMENTS in call.args:
            return _failed(call, "The arguments were not valid JSON: call the tool again with a JSON object.")
        if call.name in self._remote:
            return RemoteToolCallBlock(id=call.id, name=call.name, args=call.args)
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join([*self._tools, *self._remote]) or "none"
            return _failed(call, f"There is no tool {call.name!r}. Known tools: {known}.")
        # Each call is a task of its own, so this reaches no other call.
        resume_values.set(answers)
        return await _run(tool, call, {"state": state, "config": config, "tool_call_id": call.id})

    def _add_remote(self, described: Mapping[str, Any]) -> None:
        name = checked_name(described.get("name"), described)
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
        # A call that was handed to the client is answered there: the tools could do nothing about it.
        pending = pending_calls(state.context).values()
        return tool_node if any(isinstance(call, ToolCallBlock) for call in pending) else END

    return router


async def _run(tool: Tool, call: ToolCallBlock, injected: dict[str, Any]) -> ToolResultBlock:
    context = node_context.get()
    timeout_s = DEFAULT_TOOL_TIMEOUT_S if context is None else context.tool_timeout_s
    deadline = asyncio.timeout(timeout_s)
    try:
        arguments = tool.arguments(call.args, injected)
        async with deadline:
            output = await call_function(tool.function, **arguments)
        return ToolResultBlock(call_id=call.id, output=output_data(output), status="completed")
    except ToolArgumentsError as error:
        return _failed(call, str(error))
    except TimeoutError as error:
        late = f"Tool {call.name} took longer than {timeout_s:g} s." if deadline.expired() else None
        return _failed(call, late or _told(error))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled this call: something that the tool waited for was cancelled.
        return _failed(call, f"Tool {call.name} was cancelled.")
    except Exception as error:  # noqa: BLE001 - a tool is the user's code: an edge
        return _failed(call, _told(error))


def _results_before(pause: GraphInterrupt, messages: list[Message]) -> Command:
    """Commit what finished and come back for the rest; with nothing to commit, pause."""
    context = node_context.get()
    if not messages or context is None:
        raise pause
    return Command(update=messages, goto=context.node)


def _failed(call: ToolCallBlock, reason: str) -> ToolResultBlock:
    return ToolResultBlock(call_id=call.id, output=storable(reason), is_error=True, status="failed")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
