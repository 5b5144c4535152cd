"""A node that writes a summary of what leaves the context."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from agentflow.core.graph.agent import Agent
from agentflow.core.graph.context import node_context
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.blocks import TextBlock
from agentflow.core.state.exchanges import legal_cuts
from agentflow.core.state.message import Message
from agentflow.core.state.shortening import shortened
from agentflow.core.state.token_counts import TokenCounter, estimate_tokens
from agentflow.core.state.transcript import transcript
from agentflow.core.state.trimming import Trimmer
from agentflow.errors import ConfigurationError, ContextTooLargeError, ExecutionError

# Messages that leave, oldest first, and the summary of those that left before them -> the summary of all.
Summarize = Callable[[Sequence[Message], str | None], str | Awaitable[str]]

INSTRUCTION: Final = (
    "Summarize the conversation below for an assistant that goes on with it and sees nothing else of it. "
    "Keep names, numbers, identifiers, decisions, what tools found, and what is still open. "
    "Where there is a summary of what came before, give one summary of both. Answer with the summary alone."
)


class Summarizer:
    """Turns the older part of a long context into `context_summary`, which agents send as a prompt.

    A node, before or after the one that asks a model:

        graph.add_node("SUMMARIZE", Summarizer(Agent("gpt-small"), over_tokens=8000))
        graph.set_entry_point("SUMMARIZE").add_edge("SUMMARIZE", "MAIN")

    Summaries build on one another: each is made of the one before and of what leaves now. Calls and their
    results leave together, or stay. Earlier versions of the thread keep every message.
    """

    def __init__(
        self,
        by: Agent | Summarize,
        *,
        over_tokens: int | None = None,
        over_messages: int | None = None,
        keep: Trimmer | None = None,
        at_once_tokens: int | None = None,
        count: TokenCounter = estimate_tokens,
        instruction: str = INSTRUCTION,
    ) -> None:
        """Nothing is asked yet.

        Args:
            by: Whom to ask: an agent, whose own prompts come first, or a function of what leaves and of the
                summary so far, blocking or not.
            over_tokens: Contexts of more than so many tokens are summarized.
            over_messages: Likewise of messages. One of the two must be given; either is enough.
            keep: What stays; the newest messages within half of these limits when None. The newest exchange
                stays in any case.
            at_once_tokens: Of what leaves so many are summarized at a time, for models that cannot read all;
                None for all at once.
            count: Tokens of one message.
            instruction: What an agent is told to do.

        Raises:
            ConfigurationError: No limit is given, or one is below 2.
        """
        limits = (over_tokens, over_messages)
        if limits == (None, None) or any(limit is not None and limit < 2 for limit in limits):
            raise ConfigurationError("Give over_tokens, over_messages or both, each at least 2.")
        self._over_tokens = over_tokens
        self._over_messages = over_messages
        self._keep = keep or Trimmer(_half(over_tokens), _half(over_messages), count=count)
        self._at_once_tokens = at_once_tokens
        self._count = count
        self._by = by
        self._instruction = instruction

    async def __call__(self, state: AgentState, config: dict[str, Any]) -> dict[str, Any] | None:
        """As a node: summarize when the context is too long; otherwise nothing.

        Raises:
            ExecutionError: An agent's summary holds no text.
            What `by` raises. Then the context is as it was.
        """
        if not self._is_over(state.context):
            return None
        kept = self._kept(state.context)
        stay = set(map(id, kept))
        leaving = [message for message in state.context if id(message) not in stay]
        if not leaving:
            return None
        summary = state.context_summary
        for piece in self._pieces(leaving):
            summary = await self._summary(piece, summary, config)
        return {**shortened(state, kept), "context_summary": summary}

    def _is_over(self, context: Sequence[Message]) -> bool:
        if self._over_messages is not None and len(context) > self._over_messages:
            return True
        return self._over_tokens is not None and sum(map(self._count, context)) > self._over_tokens

    def _kept(self, context: list[Message]) -> list[Message]:
        try:
            return self._keep.trim(context)
        except ContextTooLargeError:
            cuts = legal_cuts(context)
            newest = cuts[-2]
            system = [message for message in context[:newest] if message.role == "system"]
            return [*system, *context[newest:]]

    def _pieces(self, leaving: list[Message]) -> Iterator[list[Message]]:
        piece: list[Message] = []
        tokens = 0
        for message in leaving:
            of_this = self._count(message)
            if piece and self._at_once_tokens is not None and tokens + of_this > self._at_once_tokens:
                yield piece
                piece, tokens = [], 0
            piece.append(message)
            tokens += of_this
        yield piece

    async def _summary(self, leaving: Sequence[Message], before: str | None, config: dict[str, Any]) -> str:
        if isinstance(self._by, Agent):
            return await self._asked(self._by, leaving, before, config)
        if inspect.iscoroutinefunction(self._by):
            summary: str = await self._by(leaving, before)
            return summary
        # It may block, and the loop has other runs to serve.
        said = await asyncio.to_thread(self._by, leaving, before)
        return await said if inspect.isawaitable(said) else said

    async def _asked(
        self, agent: Agent, leaving: Sequence[Message], before: str | None, config: dict[str, Any]
    ) -> str:
        parts = [self._instruction]
        parts += [f"<summary>\n{before}\n</summary>"] if before else []
        parts.append(f"<conversation>\n{transcript(leaving)}\n</conversation>")
        asking = AgentState(context=[Message.text_message("\n\n".join(parts))])
        # Outside the node, so that nobody who reads the run's stream takes it for the answer.
        outside = node_context.set(None)
        try:
            answer = await agent(asking, config)
        finally:
            node_context.reset(outside)
        text = "".join(block.text for block in answer.content if isinstance(block, TextBlock)).strip()
        if not text:
            raise ExecutionError(f"{agent!r} answered without a summary.")
        return text


def _half(limit: int | None) -> int | None:
    return None if limit is None else max(1, limit // 2)
