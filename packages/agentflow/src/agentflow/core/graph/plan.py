"""What a new input means for a thread: a new turn, an answer to a pause, or going on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from agentflow.core.graph.inputs import RunInput
from agentflow.core.graph.progress import Pause, Progress
from agentflow.core.state.execution import ExecutionState
from agentflow.errors import EmptyInputError, InvalidInputError
from agentflow.storage.checkpointer.delta import Json

_BREAKPOINTS = ("interrupt_before", "interrupt_after")


@dataclass(slots=True)
class Start:
    """How a run starts.

    Attributes:
        progress: What is to be done.
        fresh: Begin at the entry point; otherwise go on where `progress` says.
    """

    progress: Progress
    fresh: bool


def plan_start(given: RunInput, progress: Progress, meta: ExecutionState) -> Start:
    """Decide how a run starts.

    - With `resume`: the answer goes to the interrupt that waits for it, or the run goes on after a
      breakpoint.
    - With messages or fields: a new turn from the entry point, unless the thread stands at one of the
      graph's own breakpoints (`interrupt_before`/`interrupt_after`): then it goes on there with them.
    - With nothing: an unfinished run goes on.

    Raises:
        InvalidInputError: There is nothing to resume, or the answer does not say which interrupt it is for.
        EmptyInputError: Nothing was given and nothing is unfinished.
    """
    if given.resumes:
        return _answered(given.resume, progress, meta)
    if given.updates:
        at_breakpoint = meta.is_interrupted() and meta.interrupt_reason in _BREAKPOINTS
        if at_breakpoint and not progress.done:
            return Start(_continued(progress), fresh=False)
        return Start(Progress(), fresh=True)
    if progress.pauses:
        raise EmptyInputError(
            f"The thread waits for an answer to node {progress.pauses[0].node!r}: pass {{'resume': value}}."
        )
    if progress.done and not _at_end(meta):
        raise EmptyInputError(
            "The input is empty and the thread has no unfinished run: "
            "pass {'messages': [Message.text_message('...')]}."
        )
    return Start(_continued(progress), fresh=False)


def _answered(resume: Any, progress: Progress, meta: ExecutionState) -> Start:
    if progress.pauses:
        answers = {node: list(values) for node, values in progress.answers.items()}
        for pause, value in _match(resume, progress.pauses):
            answers.setdefault(pause.node, []).append(value)
        return Start(replace(progress, route=[], pauses=[], answers=answers), fresh=False)
    if progress.done and not _at_end(meta):
        raise InvalidInputError(
            "There is nothing to resume: the thread waits for no answer (it may have been resumed already)."
        )
    return Start(_continued(progress), fresh=False)


def _match(resume: Any, pauses: list[Pause]) -> list[tuple[Pause, Json]]:
    """The pauses that this answer is for; the others stay open and will be asked again."""
    by_id = {pause.id: pause for pause in pauses}
    if isinstance(resume, dict) and resume and resume.keys() <= by_id.keys():
        return [(by_id[key], value) for key, value in resume.items()]
    if len(pauses) == 1:
        return [(pauses[0], resume)]
    raise InvalidInputError(
        "Several interrupts wait: pass {'resume': {interrupt_id: value, ...}} with ids from "
        "execution_meta.interrupt_data: " + ", ".join(f"{pause.id} ({pause.node})" for pause in pauses) + "."
    )


def _continued(progress: Progress) -> Progress:
    return replace(progress, pauses=[])


def _at_end(meta: ExecutionState) -> bool:
    """Held after the last node: going on means finishing."""
    return meta.is_interrupted() and meta.interrupt_reason == "interrupt_after"
