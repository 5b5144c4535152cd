"""A node that asks a model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from agentflow.core.graph.context import node_context
from agentflow.core.graph.emitter import Emitter
from agentflow.core.graph.run_spans import model_span, note_answer, note_request
from agentflow.core.graph.tool_node import ToolNode, remote_tools_of
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.message import Message, new_id
from agentflow.core.state.trimming import Trimmer
from agentflow.errors import ConfigurationError, ExecutionError, GraphDefinitionError
from agentflow.integrations.openai_answer import Answer, answer_of, message_of
from agentflow.integrations.openai_chat import to_chat
from agentflow.integrations.openai_client import ChatClients, Endpoint
from agentflow.integrations.openai_errors import without_key
from agentflow.integrations.openai_stream import StreamedAnswer
from agentflow.utils.trace_context import outgoing

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SystemPrompt = str | Message | Mapping[str, Any]

# What the agent itself says in a request.
_OWN_OPTIONS: Final = {"messages", "model", "stream", "tools"}


class Agent:
    """Asks an OpenAI-compatible chat endpoint, with tools, and streams where somebody reads along.

    A node. What the model answers joins the context, tool calls included; a `ToolNode` runs them:

        graph.add_node("MAIN", Agent("gpt-x", system_prompt="Be brief.", tool_node="TOOL"))
        graph.add_node("TOOL", ToolNode([get_weather]))
        graph.set_entry_point("MAIN").add_edge("TOOL", "MAIN")
        graph.add_conditional_edges("MAIN", route_tools("TOOL"), ["TOOL", END])
    """

    def __init__(  # noqa: PLR0913 - settings, given by name
        self,
        model: str,
        *,
        provider: str = "openai",
        base_url: str | None = None,
        api_key: str | None = None,
        system_prompt: SystemPrompt | Sequence[SystemPrompt] | None = None,
        tools: ToolNode | Iterable[Callable[..., Any]] | None = None,
        tool_node: ToolNode | str | None = None,
        trim: Trimmer | None = None,
        timeout_s: float = 600.0,
        max_retries: int = 2,
        **options: Any,
    ) -> None:
        """Nothing is asked yet.

        Args:
            model: Name of the model at the endpoint.
            provider: "openai", or any word of yours together with `base_url`; noted in the answers.
            base_url: Of any OpenAI-compatible endpoint, such as `http://localhost:8000/v1`.
            api_key: Its key. When None, provider "openai" takes `OPENAI_API_KEY`, and endpoints at a
                `base_url` are asked without one.
            system_prompt: Put before the context on every call, never stored.
            tools: What the model may call, where the agent is to show functions of its own.
            tool_node: Instead of `tools`: the node that runs them, or its name in the same graph.
            trim: Leaves out of each call what would make it too long; the context itself stays whole.
                Prompts and the summary come on top of its limits.
            timeout_s: Longest time for one call.
            max_retries: Of calls that failed for the moment, on top of the first try.
            options: Sent with every call: `temperature`, `max_tokens`, ...; what the client does not
                know goes in `extra_body`.

        Raises:
            ImportError: The `openai` extra is missing.
            ConfigurationError: An unknown provider without a `base_url`, or options that contradict.
        """
        _require_client()
        if provider != "openai" and base_url is None:
            raise ConfigurationError(f"For provider {provider!r} pass base_url, the address of its endpoint.")
        if tools is not None and tool_node is not None:
            raise ConfigurationError("Pass either tools or tool_node, not both.")
        if taken := _OWN_OPTIONS & options.keys():
            raise ConfigurationError(f"The agent itself sets {', '.join(sorted(taken))}; leave it out.")
        self.model = model
        self.provider = provider
        self.tools = _tool_node(tools if tool_node is None else tool_node)
        self._tool_node_name: str | None = None
        self._prompts = _prompts(system_prompt)
        self._trim = trim
        self._options = options
        self._clients = ChatClients(Endpoint(provider, base_url, api_key, timeout_s, max_retries))

    def __repr__(self) -> str:
        """Without the key."""
        return f"Agent(model={self.model!r}, provider={self.provider!r})"

    def in_graph(self, nodes: Mapping[str, Callable[..., Any]]) -> Self:
        """The agent as it stands in a graph: a tool node given by name becomes that node.

        Raises:
            GraphDefinitionError: There is no such node, or it is no `ToolNode`.
        """
        if isinstance(self.tools, str):
            name: str | None = self.tools
            found = nodes.get(self.tools)
            if not isinstance(found, ToolNode):
                raise GraphDefinitionError(
                    f"The tool_node {self.tools!r} of an agent is no ToolNode of this graph: "
                    f"add one with add_node({self.tools!r}, ToolNode([...]))."
                )
        else:
            found = self.tools
            name = next((name for name, node in nodes.items() if found is not None and node is found), None)
        # A copy, as one agent may stand in several graphs; it shares the connections.
        placed = copy.copy(self)
        placed.tools = found
        placed._tool_node_name = name  # noqa: SLF001 - its own copy
        return placed

    async def __call__(self, state: AgentState, config: dict[str, Any]) -> Message:
        """Ask the model about the context.

        Returns:
            Its answer, with token counts in `usages` and `provider`, `model`, `finish_reason` in `metadata`.

        Raises:
            openai.OpenAIError: The endpoint refused or did not answer.
            ConfigurationError: There is no key.
            ExecutionError: The answer is empty or broke off.
            ContextTooLargeError: Nothing that is within the limits of `trim` could be answered.
        """
        from openai import OpenAIError

        request = self._request(state, config)
        client = await self._clients.get()
        message_id = new_id()
        try:
            with model_span(self.provider, self.model) as span:
                note_request(span, request)
                if fields := outgoing():
                    request["extra_headers"] = {**fields, **request.get("extra_headers", {})}
                answer = await self._ask(client, request, message_id)
                note_answer(span, answer, self.model)
        except OpenAIError as error:
            raise without_key(error, client.api_key) from error.__cause__
        if answer is None:
            raise ExecutionError(f"Model {self.model!r} answered without any choice.")
        return message_of(
            answer, message_id=message_id, metadata={"provider": self.provider, "model": self.model}
        )

    async def aclose(self) -> None:
        """Close connections to the endpoint; the next call opens new ones.

        Those of an event loop are closed with it anyway. Idempotent.
        """
        await self._clients.aclose()

    async def _ask(self, client: AsyncOpenAI, request: dict[str, Any], message_id: str) -> Answer | None:
        context = node_context.get()
        if context is None or not context.emitter.streaming:
            return answer_of(await client.chat.completions.create(**request))
        return await self._stream(client, request, partial(_emit, context.emitter, context.node, message_id))

    async def _stream(
        self, client: AsyncOpenAI, request: dict[str, Any], emit: Callable[[str], None]
    ) -> Answer | None:
        answer = StreamedAnswer()
        request = {"stream_options": {"include_usage": True}, **request, "stream": True}
        async with await client.chat.completions.create(**request) as pieces:
            async for piece in pieces:
                text = answer.add(piece)
                if text:
                    emit(text)
        if answer.whole.finish_reason is None:
            raise ExecutionError(f"The answer of model {self.model!r} broke off in the middle.")
        return answer.whole

    def _request(self, state: AgentState, config: Mapping[str, Any]) -> dict[str, Any]:
        prompts = list(self._prompts)
        if state.context_summary:
            prompts.append(
                {"role": "system", "content": f"Summary of the conversation so far: {state.context_summary}"}
            )
        context = state.context if self._trim is None else self._trim.trim(state.context)
        request = {**self._options, "model": self.model, "messages": [*prompts, *to_chat(context)]}
        if isinstance(self.tools, str):
            raise ConfigurationError(
                f"The agent knows its tool_node {self.tools!r} only as a node of a compiled graph."
            )
        remote = remote_tools_of(config, self._tool_node_name)
        tools = self.tools.all_tools(remote) if self.tools is not None else []
        return {**request, "tools": tools} if tools else request


def _require_client() -> None:
    """Ask for the client now, so that its absence shows when a graph is built and not in a run."""
    try:
        import openai  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        raise ImportError('Agent needs the openai client: pip install "agentflow[openai]"') from error


def _emit(emitter: Emitter, node: str, message_id: str, text: str) -> None:
    delta = Message.text_message(text, role="assistant", message_id=message_id)
    emitter.message(delta.model_copy(update={"delta": True}), node)


def _tool_node(given: ToolNode | str | Iterable[Callable[..., Any]] | None) -> ToolNode | str | None:
    return given if given is None or isinstance(given, ToolNode | str) else ToolNode(given)


def _prompts(given: SystemPrompt | Sequence[SystemPrompt] | None) -> list[dict[str, Any]]:
    if given is None:
        return []
    if isinstance(given, str | Message | Mapping):
        given = [given]
    return [_prompt(prompt) for prompt in given]


def _prompt(prompt: SystemPrompt) -> dict[str, Any]:
    if isinstance(prompt, str):
        return {"role": "system", "content": prompt}
    if isinstance(prompt, Message):
        return {"role": prompt.role, "content": prompt.text()}
    return dict(prompt)
