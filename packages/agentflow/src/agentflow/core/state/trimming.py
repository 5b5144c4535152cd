"""Making a conversation short enough for a model, without breaking it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.blocks import TextBlock
from agentflow.core.state.exchanges import legal_cuts
from agentflow.core.state.message import Message, Role
from agentflow.core.state.shortening import shortened
from agentflow.core.state.token_counts import TokenCounter, estimate_tokens
from agentflow.errors import ContextTooLargeError, InvalidInputError

Keep = Literal["last", "first"]
Roles = Role | Collection[Role]


@dataclass(frozen=True, slots=True)
class Trimmer:
    """Makes conversations short: the newest messages that fit stay, or the oldest, in their order.

    A node that drops the others from the context for good, or what an `Agent` sends:

        graph.add_node("TRIM", Trimmer(max_tokens=4000))
        graph.add_node("MAIN", Agent("gpt-x", trim=Trimmer(max_tokens=4000)))

    A call and its results stay or go together (`legal_cuts`). What fits as a whole is left as it is; so
    trimming twice is trimming once.

    Attributes:
        max_tokens: As `count` counts them, all together.
        max_messages: How many. One of the two must be given; with both, both hold.
        keep: Which end stays.
        keep_system: Whether messages of role `system` stay, wherever they stand; they count.
        start_on: With `keep="last"`: roles that what is left begins with, after system messages. Where
            no such beginning fits, as within one long turn, as many as fit stay instead. None for any.
        end_on: Roles that it ends with: what stands behind the last such message goes. None for any.
        cut_text: Also keep a part of the message at the edge, if it is nothing but text: its end, or with
            `keep="first"` its beginning.
        count: Tokens of one message.

    Raises:
        InvalidInputError: Neither limit is given, or one is below 1.
    """

    max_tokens: int | None = None
    max_messages: int | None = None
    keep: Keep = "last"
    keep_system: bool = True
    start_on: Roles | None = "user"
    end_on: Roles | None = None
    cut_text: bool = False
    count: TokenCounter = estimate_tokens

    def __post_init__(self) -> None:
        limits = (self.max_tokens, self.max_messages)
        if limits == (None, None) or any(limit is not None and limit < 1 for limit in limits):
            raise InvalidInputError("Give max_tokens, max_messages or both, each at least 1.")
        if self.keep not in ("last", "first"):
            raise InvalidInputError('keep is "last" or "first".')

    def __call__(self, state: AgentState) -> dict[str, Any] | None:
        """As a node: the context becomes what is left of it.

        Raises:
            ContextTooLargeError: See `trim_messages`.
        """
        kept = self.trim(state.context)
        return None if kept == state.context else shortened(state, kept)

    def trim(self, messages: Sequence[Message]) -> list[Message]:
        """What is left of a conversation; see `trim_messages`."""
        exchanges = _ended(self._exchanges(messages), self.end_on)
        room = _Room(self.max_tokens, self.max_messages, self.count)
        pinned = [message for exchange in exchanges for message in exchange.pinned]
        if not room.take(pinned):
            raise room.refusal("The system messages alone are", pinned)
        order = exchanges if self.keep == "first" else exchanges[::-1]
        fitting = next((at for at, exchange in enumerate(order) if not room.take(exchange.loose)), len(order))
        if fitting == len(order):
            return [message for exchange in exchanges for message in exchange.messages]
        taken = self._with_an_edge(order[:fitting])
        beside = next(exchange for exchange in order[len(taken) :] if exchange.loose)
        part = self._part(beside, pinned, taken) if self.cut_text else None
        if part is None and not any(exchange.loose for exchange in taken):
            raise room.refusal(f"The {_END[self.keep]} exchange alone is", [*pinned, *beside.loose])
        whole = set(map(id, taken))
        kept: list[Message] = []
        for exchange in exchanges:
            if exchange is beside and part is not None:
                kept.append(part)
            else:
                kept += exchange.messages if id(exchange) in whole else exchange.pinned
        return kept

    def _exchanges(self, messages: Sequence[Message]) -> list[_Exchange]:
        role = "system" if self.keep_system else None
        return [
            _Exchange(
                messages[begin:end],
                [message for message in messages[begin:end] if message.role == role],
                [message for message in messages[begin:end] if message.role != role],
            )
            for begin, end in pairwise(legal_cuts(messages))
        ]

    def _with_an_edge(self, taken: list[_Exchange]) -> list[_Exchange]:
        """As many of them as leave the edge where it may be; all, where it may be nowhere."""
        return next((taken[:n] for n in range(len(taken), 0, -1) if self._may_be_edge(taken[n - 1])), taken)

    def _may_be_edge(self, exchange: _Exchange) -> bool:
        roles, at = (self.end_on, -1) if self.keep == "first" else (self.start_on, 0)
        return bool(exchange.loose) and (roles is None or exchange.loose[at].role in _several(roles))

    def _part(
        self, exchange: _Exchange, pinned: Sequence[Message], taken: Sequence[_Exchange]
    ) -> Message | None:
        """As much of its text as there is room for beside the others; None for none."""
        if len(exchange.messages) != 1 or not (self._may_be_edge(exchange) or not taken):
            return None
        message = exchange.messages[0]
        if not all(isinstance(block, TextBlock) for block in message.content):
            return None
        text = "".join(block.text for block in message.content if isinstance(block, TextBlock))
        room = _Room(self.max_tokens, self.max_messages, self.count)
        room.take([*pinned, *(other for one in taken for other in one.loose)])
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if room.has_room(_saying(message, self._cut(text, middle))):
                low = middle
            else:
                high = middle - 1
        return _saying(message, self._cut(text, low)) if low else None

    def _cut(self, text: str, length: int) -> str:
        return text[:length] if self.keep == "first" else text[len(text) - length :]


def trim_messages(  # noqa: PLR0913 - settings, given by name
    messages: Sequence[Message],
    *,
    max_tokens: int | None = None,
    max_messages: int | None = None,
    keep: Keep = "last",
    keep_system: bool = True,
    start_on: Roles | None = "user",
    end_on: Roles | None = None,
    cut_text: bool = False,
    count: TokenCounter = estimate_tokens,
) -> list[Message]:
    """The newest messages that fit, or the oldest, in their order.

    Args:
        messages: The conversation, oldest first; not changed.
        max_tokens: See `Trimmer`, also for what follows.

    Raises:
        ContextTooLargeError: Not even the one exchange at that end fits, or the system messages do not.
        InvalidInputError: The limits are none.

    Cost: one pass; of the messages that go, at most one exchange is counted.
    """
    trimmer = Trimmer(max_tokens, max_messages, keep, keep_system, start_on, end_on, cut_text, count)
    return trimmer.trim(messages)


_END: Final = {"last": "newest", "first": "oldest"}


@dataclass(frozen=True, slots=True, eq=False)
class _Exchange:
    """Messages that stay or go together, but for those that stay anyhow.

    Attributes:
        pinned: Those.
        loose: The others.
    """

    messages: Sequence[Message]
    pinned: Sequence[Message]
    loose: Sequence[Message]


class _Room:
    """What is left of the limits."""

    def __init__(self, max_tokens: int | None, max_messages: int | None, count: TokenCounter) -> None:
        self._max_tokens, self._max_messages, self._count = max_tokens, max_messages, count
        self._tokens = self._messages = 0

    def take(self, messages: Sequence[Message]) -> bool:
        """Take room for them; whether there was enough. When there was not, none was taken."""
        tokens = 0
        for message in messages if self._max_tokens is not None else ():
            tokens += self._count(message)
        if not self._holds(self._tokens + tokens, self._messages + len(messages)):
            return False
        self._tokens += tokens
        self._messages += len(messages)
        return True

    def has_room(self, message: Message) -> bool:
        """Whether one more would fit."""
        tokens = 0 if self._max_tokens is None else self._count(message)
        return self._holds(self._tokens + tokens, self._messages + 1)

    def refusal(self, what: str, messages: Sequence[Message]) -> ContextTooLargeError:
        """What to say when nothing useful would be left."""
        return ContextTooLargeError(
            what,
            tokens=None if self._max_tokens is None else sum(map(self._count, messages)),
            messages=len(messages),
            max_tokens=self._max_tokens,
            max_messages=self._max_messages,
        )

    def _holds(self, tokens: int, messages: int) -> bool:
        return (self._max_tokens is None or tokens <= self._max_tokens) and (
            self._max_messages is None or messages <= self._max_messages
        )


def _ended(exchanges: list[_Exchange], end_on: Roles | None) -> list[_Exchange]:
    """Without what stands behind the last message of such a role; all, when there is none."""
    if end_on is None:
        return exchanges
    roles = _several(end_on)
    for at in range(len(exchanges) - 1, -1, -1):
        if exchanges[at].loose and exchanges[at].loose[-1].role in roles:
            behind = [_Exchange(one.pinned, one.pinned, ()) for one in exchanges[at + 1 :]]
            return [*exchanges[: at + 1], *behind]
    return exchanges


def _several(roles: Roles) -> Collection[str]:
    return (roles,) if isinstance(roles, str) else roles


def _saying(message: Message, text: str) -> Message:
    return message.model_copy(update={"content": [TextBlock(text=text)]})
