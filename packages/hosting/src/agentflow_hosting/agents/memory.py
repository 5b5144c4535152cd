"""`memory`, the default: remembers what it is told, without a model.

It understands a few plain forms and says so honestly when it does not: "My <thing> is <value>.",
"I live in / like / work as ...", and questions about them.
"""

import re
from typing import Annotated, Final

from pydantic import Field

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, merge_dict
from agentflow.utils import END

_SENTENCE: Final = re.compile(r"[^.!?\n]+[.!?\n]?")
_MY: Final = re.compile(r"(?:.*?\b)?my (?P<thing>[\w' -]{1,60}?) (?:is|are|was) (?P<value>.+)", re.IGNORECASE)
_CALLED: Final = re.compile(r"(?:.*?\b)?(?:i am|i'm|call me) (?P<value>[A-Z][\w'-]*)$", re.IGNORECASE)
_DO: Final = re.compile(
    r"(?:.*?\b)?i (?P<verb>like|love|hate|live|work|prefer|need|have) (?P<value>.+)", re.IGNORECASE
)
_ASK_MY: Final = re.compile(r".*\bmy (?P<thing>[\w' -]{1,60})", re.IGNORECASE)
_ASK_DO: Final = re.compile(r".*\bdo i (?P<verb>like|love|hate|live|work|prefer|need|have)\b", re.IGNORECASE)
_WHO: Final = re.compile(r".*\bwho am i\b", re.IGNORECASE)


class MemoryState(AgentState):
    """What the user told, by thing."""

    facts: Annotated[dict[str, str], merge_dict] = Field(default_factory=dict)


async def answer(state: MemoryState) -> dict[str, object]:
    """Take in what the last user message tells and answer what it asks."""
    said = next((message.text() for message in reversed(state.context) if message.role == "user"), "")
    learned: dict[str, str] = {}
    replies: list[str] = []
    for sentence in filter(
        None, (match.group().strip() for match in _SENTENCE.finditer(said.replace("\u2019", "'")))
    ):
        if _is_question(sentence):
            replies.append(_recall(sentence, {**state.facts, **learned}))
            continue
        fact = _learn(sentence)
        if fact is not None:
            learned |= fact
            replies.append(f"I will remember that {_told(fact)}.")
    if not replies:
        replies.append(
            'I remember what you tell me, such as "My name is Alex.", and answer questions about it.'
        )
    return {"facts": learned, "messages": " ".join(replies)}


def _is_question(sentence: str) -> bool:
    first = sentence.split(maxsplit=1)[0].lower()
    return sentence.endswith("?") or first in {
        "what",
        "what's",
        "whats",
        "who",
        "where",
        "which",
        "tell",
        "remind",
    }


def _learn(sentence: str) -> dict[str, str] | None:
    text = sentence.rstrip(".!? \n")
    if match := _MY.fullmatch(text):
        return {match["thing"].lower(): match["value"]}
    if match := _DO.fullmatch(text):
        return {f"you {match['verb'].lower()}": match["value"]}
    if match := _CALLED.fullmatch(text):
        return {"name": match["value"]}
    return None


def _recall(sentence: str, facts: dict[str, str]) -> str:
    text = sentence.rstrip(".!? \n")
    if _WHO.fullmatch(text):
        thing = "name"
    elif match := _ASK_DO.fullmatch(text):
        thing = f"you {match['verb'].lower()}"
    elif match := _ASK_MY.fullmatch(text):
        thing = match["thing"].lower()
    else:
        return "I can only answer questions about what you told me."
    for known in (thing, thing.removesuffix(" again"), thing.removesuffix(" is"), thing.split()[0]):
        if known in facts:
            return _sentence(known, facts[known])
    return f"You have not told me {'what ' if thing.startswith('you ') else 'your '}{thing} yet."


def _sentence(thing: str, value: str) -> str:
    text = _told({thing: value})
    return f"{text[0].upper()}{text[1:]}."


def _told(fact: dict[str, str]) -> str:
    ((thing, value),) = fact.items()
    return f"{thing} {value}" if thing.startswith("you ") else f"your {thing} is {value}"


graph = StateGraph(MemoryState).add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END)
