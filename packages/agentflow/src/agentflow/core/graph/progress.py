"""Where a run stands between two checkpoints, stored beside the state so that it can be resumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from agentflow.storage.checkpointer.delta import Fields, Json

FIELD: Final = "$run"


@dataclass(slots=True)
class Pause:
    """An `interrupt()` that waits for its answer."""

    id: str
    node: str
    value: Json

    def as_data(self) -> Fields:
        """The stored form."""
        return {"id": self.id, "node": self.node, "value": self.value}


@dataclass(slots=True)
class Progress:
    """What is left of a run.

    Attributes:
        next: Nodes of the step to run.
        finished: Nodes of that step that are done already -> their encoded update. They are not run again.
        route: Nodes whose outgoing edges are still to be taken (a router raised).
        pauses: Interrupts of that step that wait for an answer.
        answers: Node -> answers given to its interrupts so far, in order.
        turn: The version that began the turn. Until the turn is done it names it, whatever is resumed.
        since: Node -> the step it began in, for nodes that came back; see `ComesBack`.
    """

    next: list[str] = field(default_factory=list)
    finished: dict[str, Json] = field(default_factory=dict)
    route: list[str] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    answers: dict[str, list[Json]] = field(default_factory=dict)
    turn: int = 0
    since: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.next and not self.route

    def as_data(self) -> Fields:
        """The stored form: {} when nothing is left."""
        if self.done:
            return {}
        data: Fields = {
            "next": list(self.next),
            "finished": dict(self.finished),
            "route": list(self.route),
            "pauses": [pause.as_data() for pause in self.pauses],
            "answers": {node: list(answers) for node, answers in self.answers.items()},
            "turn": self.turn,
            "since": dict(self.since),
        }
        return {key: value for key, value in data.items() if value}


def progress_of(fields: Fields) -> Progress:
    """The progress stored among a thread's fields."""
    data = fields.get(FIELD) or {}
    return Progress(
        next=list(data.get("next", ())),
        finished=dict(data.get("finished", {})),
        route=list(data.get("route", ())),
        pauses=[Pause(**pause) for pause in data.get("pauses", ())],
        answers={node: list(answers) for node, answers in data.get("answers", {}).items()},
        turn=data.get("turn", 0),
        since=dict(data.get("since", {})),
    )
