"""The workload that every system gets: 10-turn chats, three checkpoints a turn, text of real words.

A question has 200 characters, an answer 600, and each step changes about 300 bytes of other fields. Seeds are
fixed, so two systems and two runs store the same bytes.
"""

import functools
import random
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Any

TURNS = 10
NODES = ("intake", "agent", "finalize")
STEPS_PER_TURN = len(NODES)
QUESTION_CHARACTERS = 200
ANSWER_CHARACTERS = 600


@dataclass(frozen=True)
class Step:
    """One checkpoint of a chat.

    Attributes:
        node: Which node it comes from.
        message: What joined the conversation, as JSON data; None for a step that only computes.
        extra: The other fields as they are now.
    """

    turn: int
    node: str
    message: dict[str, Any] | None
    extra: dict[str, Any]


@dataclass(frozen=True)
class Chat:
    """A conversation, the same for the same seed."""

    seed: int
    turns: int = TURNS

    @property
    def steps(self) -> Sequence[Step]:
        """What happens in it."""
        return _steps(self)


def chats(count: int, turns: int = TURNS) -> list[Chat]:
    """`count` conversations; 64 different ones, over and over."""
    return [Chat(seed % 64, turns) for seed in range(count)]


def text(rng: random.Random, characters: int) -> str:
    """English words of that length together."""
    words = _words()
    picked: list[str] = []
    missing = characters + 1  # no space after the last word
    while missing > 0:
        picked.append(rng.choice(words))
        missing -= len(picked[-1]) + 1
    return " ".join(picked)[:characters]


@functools.cache
def _words() -> list[str]:
    """Words as often as the standard library's own help uses them."""
    return re.findall(r"\b[a-z]{2,12}\b", " ".join(topics[name] for name in sorted(topics)))


@functools.cache
def _steps(chat: Chat) -> list[Step]:
    rng = random.Random(chat.seed)
    return [_step(rng, turn, node) for turn in range(chat.turns) for node in NODES]


def _step(rng: random.Random, turn: int, node: str) -> Step:
    message = None
    if node == "intake":
        message = _message(rng, "user", QUESTION_CHARACTERS, turn)
    elif node == "agent":
        message = _message(rng, "assistant", ANSWER_CHARACTERS, turn)
    extra = {
        "turn": turn,
        "node": node,
        "plan": text(rng, 120),
        "score": rng.random(),
        "budget": {"in": rng.randrange(10_000), "out": rng.randrange(10_000)},
        "tags": [text(rng, 12) for _ in range(4)],
    }
    return Step(turn, node, message, extra)


def _message(rng: random.Random, role: str, characters: int, turn: int) -> dict[str, Any]:
    return {
        "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "role": role,
        "content": text(rng, characters),
        "ts": 1.7e9 + 60 * turn,
    }
