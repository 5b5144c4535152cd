"""Where a run stands between two checkpoints, stored beside the state so that it can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from agentflow.storage.checkpointer.delta import Fields, Json
from agentflow.storage.checkpointer.run_status import PendingInterrupt, interrupt_of

FIELD: Final = "$run"

# Of its own, so that steps do not write it anew.
ANSWERED: Final = "$answered"

# Who answers twice does so soon; whoever comes later is told less precisely.
_REMEMBERED: Final = 32


@dataclass(slots=True)
class Progress:
    """What is left of a run.

    Attributes:
        next: Nodes of the step to run.
        finished: Nodes of that step that are done already -> their encoded update. They are not run again.
        route: Nodes whose outgoing edges are still to be taken (a router raised).
        pauses: Interrupts of that step that wait for an answer. Their nodes do not run before they have one.
        answers: Node -> answers given to its interrupts so far, in order.
        turn: The version that began the turn. Until the turn is done it names it, whatever is resumed.
        since: Node -> the step it began in, for nodes that came back; see `ComesBack`.
        answered: Ids of the thread's interrupts that were answered last; outlives the run.
    """

    next: list[str] = field(default_factory=list)
    finished: dict[str, Json] = field(default_factory=dict)
    route: list[str] = field(default_factory=list)
    pauses: list[PendingInterrupt] = field(default_factory=list)
    answers: dict[str, list[Json]] = field(default_factory=dict)
    turn: int = 0
    since: dict[str, int] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.next and not self.route

    @property
    def runnable(self) -> list[str]:
        """Nodes of the step that neither finished nor wait for an answer."""
        waiting = {pause.node for pause in self.pauses}
        return [node for node in self.next if node not in self.finished and node not in waiting]

    def with_answers(self, given: Sequence[tuple[PendingInterrupt, Json]]) -> Progress:
        """The same once these pauses have their answers."""
        ids = [pause.id for pause, _ in given]
        answers = {node: list(values) for node, values in self.answers.items()}
        for pause, value in given:
            answers.setdefault(pause.node, []).append(value)
        pauses = [pause for pause in self.pauses if pause.id not in ids]
        return replace(self.with_answered(ids), pauses=pauses, answers=answers)

    def with_answered(self, ids: Sequence[str]) -> Progress:
        """The same, remembering that these were answered."""
        return replace(self, answered=[*self.answered, *ids][-_REMEMBERED:])

    def as_fields(self) -> Fields:
        """The stored form, to stand beside a state's fields: {} when there is nothing to know."""
        fields: Fields = {}
        if not self.done:
            fields[FIELD] = self._left()
        if self.answered:
            fields[ANSWERED] = list(self.answered)
        return fields

    def _left(self) -> Fields:
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
        pauses=[interrupt_of(pause) for pause in data.get("pauses", ())],
        answers={node: list(answers) for node, answers in data.get("answers", {}).items()},
        turn=data.get("turn", 0),
        since=dict(data.get("since", {})),
        answered=list(fields.get(ANSWERED) or ()),
    )
