"""A node that asks a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentflow.core.graph.context import node_context
from agentflow.core.graph.emitter import Emitter
from agentflow.core.graph.tool_node import ToolNode
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.message import Message, new_id
from agentflow.errors import ConfigurationError, ExecutionError
from agentflow.integrations.openai_chat import assistant_message, from_chat, to_chat, usages_of
from agentflow.integrations.openai_stream import StreamedAnswer
from agentflow.utils.per_loop import PerLoop

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SystemPrompt = str | Message | Mapping[str, Any]


class Agent:
    """Asks an OpenAI-compatible chat endpoint, with tools, and streams where somebody reads along.

    A node: `graph.add_node("MAIN", Agent(model="...", system_prompt="..."))`. What the model answers
    joins the context, tool calls included; a `ToolNode` runs them.
    """

    def __init__(
        self,
        model: str,
        *,
        provider: str = "openai",
        base_url: str | None = None,
        api_key: str | None = None,
        system_prompt: SystemPrompt | Sequence[SystemPrompt] | None = None,
        tools: ToolNode | Iterable[Callable[..., Any]] | None = None,
        timeout_s: float = 600.0,
        max_retries: int = 2,
        **options: Any,
    ) -> None:
        """Nothing is asked yet.

        Args:
            model: Name of the model at the endpoint.
            provider: "openai", or any word of yours together with `base_url`; noted in the answers.
            base_url: Of any OpenAI-compatible endpoint, such as `http://localhost:8000/v1`.
            api_key: Its key; the client's own `OPENAI_API_KEY` when None.
            system_prompt: Put before the context on every call, never stored.
            tools: What the model may call.
            timeout_s: Longest time for one call.
            max_retries: Of calls the endpoint refused for the moment.
            options: Sent with every call: `temperature`, `max_tokens`, ...

        Raises:
            ImportError: The `openai` extra is missing.
            ConfigurationError: An unknown provider without a `base_url`.
        """
        try:
            import openai  # noqa: F401 - asked for now, so that its absence shows here and not in a run
        except ModuleNotFoundError as error:
            raise ImportError(
                'Agent needs the openai client: pip install "agentflow[openai]" brings it.'
            ) from error
        if provider != "openai" and base_url is None:
            raise ConfigurationError(f"For provider {provider!r} pass base_url, the address of its endpoint.")
        self.model = model
        self.provider = provider
        self.tools = tools if isinstance(tools, ToolNode) or tools is None else ToolNode(tools)
        self._prompts = _prompts(system_prompt)
        self._options = options
        self._client_settings = {
            "base_url": base_url,
            "api_key": api_key,
            "timeout": timeout_s,
            "max_retries": max_retries,
        }
        # A client's connections work in one event loop only.
        self._clients: PerLoop[AsyncOpenAI] = PerLoop(self._new_client, _close_client)

    def __repr__(self) -> str:
        """Without the key."""
        return f"Agent(model={self.model!r}, provider={self.provider!r})"

    async def __call__(self, state: AgentState, config: dict[str, Any]) -> Message:
        """Ask the model about the context.

        Returns:
            Its answer, with token counts in `usages` and `provider`, `model`, `finish_reason` in `metadata`.

        Raises:
            openai.OpenAIError: The endpoint refused or did not answer.
            ExecutionError: It answered nothing.
        """
        request = self._request(state)
        client = await self._clients.get()
        context = node_context.get()
        if context is not None and context.emitter.streaming:
            return await self._stream(client, request, context.emitter, context.node)
        completion = await client.chat.completions.create(**request)
        if not completion.choices:
            raise ExecutionError(f"Model {self.model!r} answered without any choice.")
        choice = completion.choices[0]
        message = from_chat(
            choice.message, message_id=new_id(), metadata=self._metadata(choice.finish_reason)
        )
        return message.model_copy(update={"usages": usages_of(completion.usage)})

    async def _stream(
        self, client: AsyncOpenAI, request: dict[str, Any], emitter: Emitter, node: str
    ) -> Message:
        answer = StreamedAnswer()
        message_id = new_id()
        pieces = await client.chat.completions.create(
            **request, stream=True, stream_options={"include_usage": True}
        )
        async with pieces:
            async for piece in pieces:
                text = answer.add(piece)
                if text:
                    delta = Message.text_message(text, role="assistant", message_id=message_id)
                    emitter.message(delta.model_copy(update={"delta": True}), node)
        if answer.finish_reason is None:
            raise ExecutionError(f"The answer of model {self.model!r} broke off in the middle.")
        return assistant_message(
            answer.text,
            answer.refusal,
            answer.calls(),
            message_id=message_id,
            metadata=self._metadata(answer.finish_reason),
            reasoning=answer.reasoning,
            usages=usages_of(answer.usage),
        )

    def _request(self, state: AgentState) -> dict[str, Any]:
        prompts = list(self._prompts)
        if state.context_summary:
            prompts.append(
                {"role": "system", "content": f"Summary of the conversation so far: {state.context_summary}"}
            )
        request = {**self._options, "model": self.model, "messages": [*prompts, *to_chat(state.context)]}
        tools = self.tools.all_tools() if self.tools is not None else []
        return {**request, "tools": tools} if tools else request

    def _metadata(self, finish_reason: str | None) -> dict[str, Any]:
        return {"provider": self.provider, "model": self.model, "finish_reason": finish_reason}

    def _new_client(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI, OpenAIError

        try:
            return AsyncOpenAI(**self._client_settings)  # type: ignore[arg-type]
        except OpenAIError as error:
            raise ConfigurationError("The model needs a key: pass api_key or set OPENAI_API_KEY.") from error


async def _close_client(client: AsyncOpenAI) -> None:
    await client.close()


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
