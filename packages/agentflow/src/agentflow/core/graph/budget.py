"""How much a run may still spend, asked at its node boundaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from agentflow.core.state.message import Message
from agentflow.errors import InvalidInputError

_MOST_TOKENS: Final = 10**12


@dataclass(frozen=True, slots=True)
class Boundary:
    """What a run did up to a node boundary since the one before.

    Attributes:
        messages: Those that joined the context.
        tokens_in: Tokens that models were sent, as they reported it in `Message.usages`.
        tokens_out: Tokens that models answered with.
        begins_thread: Whether it is the thread's first checkpoint.
    """

    messages: Sequence[Message]
    tokens_in: int
    tokens_out: int
    begins_thread: bool


@runtime_checkable
class Budget(Protocol):
    """What `config["token_budget"]` may be besides a number. One may be shared by many runs."""

    @property
    def exhausted(self) -> bool:
        """Whether no further node may start."""
        ...

    def spend(self, boundary: Boundary) -> None:
        """Take note of a boundary. It is durable, or with a weaker durability soon will be."""
        ...


class TokenBudget:
    """So many tokens.

    Attributes:
        left: Below zero when a node used more than there were; its answer is kept.
    """

    def __init__(self, tokens: int) -> None:
        """Nothing is spent yet."""
        self.left = tokens

    @property
    def exhausted(self) -> bool:
        """Nothing is left."""
        return self.left <= 0

    def spend(self, boundary: Boundary) -> None:
        """Take the boundary's tokens off."""
        self.left -= boundary.tokens_in + boundary.tokens_out


def budget_of(config: Mapping[str, Any]) -> Budget | None:
    """The budget of a config; None when it names none.

    Raises:
        InvalidInputError: It is neither a number of tokens nor a budget.
    """
    value = config.get("token_budget")
    if value is None or isinstance(value, Budget):
        return value
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInputError("config['token_budget'] must be a number of tokens, or a Budget.")
    return TokenBudget(value)


def tokens_of(added: Sequence[Message], before: Sequence[Message]) -> tuple[int, int]:
    """Tokens in and out that models reported in messages that are new, and not edits of those before."""
    counted = [message for message in added if message.usages is not None]
    if not counted:
        return 0, 0
    known = {message.message_id for message in before}
    usages = [message.usages for message in counted if message.message_id not in known]
    return (
        sum(_plausible(usage.prompt_tokens) for usage in usages if usage),
        sum(_plausible(usage.completion_tokens) for usage in usages if usage),
    )


def _plausible(tokens: int) -> int:
    """Within what databases count, and as they count it: a node may report whatever it likes."""
    return min(max(0, tokens), _MOST_TOKENS)
