"""A node that runs the tools an assistant asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from agentflow.core.graph.context import node_context
from agentflow.core.graph.node import call_function
from agentflow.core.graph.run_spans import tool_span
from agentflow.core.graph.tool_ledger import Begun, untracked
from agentflow.core.graph.tool_output import output_data, storable
from agentflow.core.graph.tool_schema import Tool, ToolArgumentsError, checked_name
from agentflow.core.graph.updates import ComesBack
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.blocks import RemoteToolCallBlock, ToolCallBlock, ToolResultBlock
from agentflow.core.state.message import Message
from agentflow.core.state.pending_calls import Call, PendingCall, pending_calls
from agentflow.errors import GraphDefinitionError
from agentflow.utils.command import Command
from agentflow.utils.constants import DEFAULT_TOOL_TIMEOUT_S, END, RAW_ARGUMENTS
from agentflow.utils.interrupt import GraphInterrupt, ResumeValues, resume_values
from agentflow.utils.tool_call import tool_call

_Outcome = ToolResultBlock | RemoteToolCallBlock | GraphInterrupt


class ToolNode:
    """Runs the pending tool calls of the context side by side and answers each with a result.

    A tool is a function: its signature and docstring are what the model sees. Parameters named
    `state`, `config`, `tool_call_id` and `tool_key` are filled in and not shown. Whatever a tool raises
    becomes a failed result that the model can react to; only `interrupt()` reaches through, and pauses the
    run.

    Before a tool starts the ledger says so, and what it answered is durable at the latest with the node's
    checkpoint: a tool that finished never runs again, one that was running at a crash runs again with the
    same `tool_key`.

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

    def all_tools(self, more: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
        """Every tool, remote ones too, as OpenAI-compatible endpoints take them.

        Args:
            more: Remote tools of one run, described as those of `__init__`; a tool's name that is taken stays
                what it is.
        """
        local = [tool.as_openai() for tool in self._tools.values()]
        remote = self._with(more).values()
        return local + [{"type": "function", "function": described} for described in remote]

    def describe(self, more: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
        """Every tool as `{"name", "description", "parameters", "source"}`; source is `local` or `remote`."""
        return [
            {**tool["function"], "source": "local" if tool["function"]["name"] in self._tools else "remote"}
            for tool in self.all_tools(more)
        ]

    async def __call__(self, state: AgentState, config: dict[str, Any]) -> list[Message] | Command:
        """Answer the pending calls.

        Returns:
            One message of role `tool` per call, in their order; behind them, when remote tools were
            called, one that asks the client for those and ends the run.

        Raises:
            GraphInterrupt: Every call that is left waits for somebody's answer.
        """
        pending = [p for p in pending_calls(state.context) if isinstance(p.call, ToolCallBlock)]
        if remote := remote_tools_of(config, None if (at := node_context.get()) is None else at.node):
            with_more = copy(self)
            with_more._remote = self._with(remote)  # noqa: SLF001 - a node like this one, for one run
            return await with_more._answered(pending, state, config)  # noqa: SLF001 - as above
        return await self._answered(pending, state, config)

    async def _answered(
        self, pending: Sequence[PendingCall], state: AgentState, config: dict[str, Any]
    ) -> list[Message] | Command:
        outcomes = await self._outcomes(pending, state, config)
        if pauses := [outcome for outcome in outcomes if isinstance(outcome, GraphInterrupt)]:
            return _results_before(pauses[0], _messages(_in_order(pending, outcomes)))
        messages = _messages(outcomes)
        asked = [outcome for outcome in outcomes if isinstance(outcome, RemoteToolCallBlock)]
        if not asked:
            return messages
        return Command(update=[*messages, Message.tool_message([*asked])], goto=END)

    async def _outcomes(
        self, pending: Sequence[PendingCall], state: AgentState, config: dict[str, Any]
    ) -> list[_Outcome]:
        begun = await self._begin(pending)
        running = _Running(begun)
        outcomes = await asyncio.gather(
            *(
                self._outcome(
                    one.call, begun.get(id(one)), running, {"state": state, "config": config}, answers
                )
                for one, answers in zip(pending, self._answers(pending), strict=True)
            ),
            return_exceptions=True,
        )
        found: list[_Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, GraphInterrupt):
                raise outcome
            found.append(outcome)
        return found

    async def _begin(self, pending: Sequence[PendingCall]) -> dict[int, Begun]:
        """The calls that a tool here can answer, by identity, once the ledger knows of them."""
        calls = [
            one for one in pending if one.call.name in self._tools and RAW_ARGUMENTS not in one.call.args
        ]
        context = node_context.get()
        begun = map(untracked, calls) if context is None else await context.tools.begin(calls)
        return {id(one): known for one, known in zip(calls, begun, strict=True)}

    def _answers(self, pending: Sequence[PendingCall]) -> list[ResumeValues | None]:
        """For each call the answers to its interrupts.

        Calls that did not pause were answered for good before anybody was asked (`_results_before`),
        so what was answered so far belongs to the first one still pending that can ask at all.
        """
        given = resume_values.get()
        answers = [None if given is None else ResumeValues([]) for _ in pending]
        asking = next((i for i, one in enumerate(pending) if one.call.name in self._tools), None)
        if asking is not None:
            answers[asking] = given
        return answers

    async def _outcome(
        self,
        call: Call,
        begun: Begun | None,
        running: _Running,
        injected: dict[str, Any],
        answers: ResumeValues | None,
    ) -> _Outcome:
        if RAW_ARGUMENTS in call.args:
            return _failed(call, "The arguments were not valid JSON: call the tool again with a JSON object.")
        if call.name in self._remote:
            return RemoteToolCallBlock(id=call.id, name=call.name, args=call.args)
        if begun is None:
            known = ", ".join([*self._tools, *self._remote]) or "none"
            return _failed(call, f"There is no tool {call.name!r}. Known tools: {known}.")
        if begun.result is not None:
            return begun.result
        # Each call is a task of its own, so these reach no other call.
        resume_values.set(answers)
        tool_call.set(begun.call)
        injected = injected | {"tool_call_id": call.id, "tool_key": begun.call.key}
        try:
            with tool_span(begun) as span:
                result = await _run(self._tools[call.name], call, injected)
                if result.is_error:
                    span.fail("tool_error")
        finally:
            running.count -= 1
        await running.keep(begun, result)
        return result

    def _with(self, more: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The remote tools and those of one run."""
        found = dict(self._remote)
        for described in more:
            name = checked_name(described.get("name"), described)
            if name not in self._tools:
                found.setdefault(name, _described(name, described))
        return found

    def _add_remote(self, described: Mapping[str, Any]) -> None:
        name = checked_name(described.get("name"), described)
        self._check_free(name)
        self._remote[name] = _described(name, described)

    def _check_free(self, name: str) -> None:
        if name in self._tools or name in self._remote:
            raise GraphDefinitionError(f"There are two tools named {name!r}.")


def remote_tools_of(config: Mapping[str, Any], node: str | None) -> Sequence[Mapping[str, Any]]:
    """The tools that a run's config names for a tool node: `config["remote_tools"][node]`."""
    named = config.get("remote_tools") or {}
    found: Sequence[Mapping[str, Any]] = named.get(node, ())
    return found


def _described(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "description": str(described.get("description", "")),
        "parameters": dict(described.get("parameters") or {"type": "object", "properties": {}}),
    }


class _Running:
    """How many tools of a node still run: while there are any, results are made durable at once."""

    def __init__(self, begun: Mapping[int, Begun]) -> None:
        self.count = sum(known.result is None for known in begun.values())

    async def keep(self, begun: Begun, result: ToolResultBlock) -> None:
        context = node_context.get()
        if context is not None:
            await context.tools.finish(begun, result, at_once=self.count > 0)


def route_tools(tool_node: str = "TOOL") -> Callable[[AgentState], str]:
    """A router for `add_conditional_edges`: to the tools while calls are pending, to END when none are."""

    def router(state: AgentState) -> str:
        # A call that was handed to the client is answered there: the tools could do nothing about it.
        pending = pending_calls(state.context)
        return tool_node if any(isinstance(one.call, ToolCallBlock) for one in pending) else END

    return router


def _messages(outcomes: Iterable[_Outcome]) -> list[Message]:
    return [Message.tool_message([outcome]) for outcome in outcomes if isinstance(outcome, ToolResultBlock)]


def _in_order(pending: Sequence[PendingCall], outcomes: Sequence[_Outcome]) -> list[_Outcome]:
    """Without the results of calls that repeat the id of one that waits: each would be taken for the other's.

    The ledger keeps them until the first has its answer.
    """
    waiting: set[str] = set()
    kept: list[_Outcome] = []
    for one, outcome in zip(pending, outcomes, strict=True):
        if isinstance(outcome, GraphInterrupt):
            waiting.add(one.call.id)
        elif one.call.id not in waiting:
            kept.append(outcome)
    return kept


async def _run(tool: Tool, call: Call, injected: dict[str, Any]) -> ToolResultBlock:
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
    return ComesBack(update=messages, goto=context.node)


def _failed(call: Call, reason: str) -> ToolResultBlock:
    return ToolResultBlock(call_id=call.id, output=storable(reason), is_error=True, status="failed")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
