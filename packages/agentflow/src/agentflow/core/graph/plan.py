"""What a new input means for a thread: a new turn, an answer to a pause, or going on."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.core.graph.inputs import RunInput
from agentflow.core.graph.progress import Progress
from agentflow.core.graph.resume import answers_of, at_breakpoint, check_pending, pending
from agentflow.core.state.execution import ExecutionState
from agentflow.errors import EmptyInputError, NothingToResumeError


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
        AmbiguousResumeError: The answer does not say which interrupt it is for.
        ResumeConflictError: The interrupt it is for does not wait for it.
        EmptyInputError: Nothing was given and nothing is unfinished.
    """
    if given.resumes:
        return _answered(given, progress, meta)
    if given.updates:
        if at_breakpoint(meta) and not progress.done:
            return _past_breakpoint(progress, meta)
        # What was asked stays unanswered; an answer that comes now is told so.
        return Start(Progress(answered=progress.answered), fresh=True)
    if at_breakpoint(meta):
        return _past_breakpoint(progress, meta)
    if progress.pauses and not progress.runnable:
        raise EmptyInputError(
            f"The thread waits for an answer to node {progress.pauses[0].node!r}: pass {{'resume': value}}."
        )
    if progress.done:
        raise EmptyInputError(
            "The input is empty and the thread has no unfinished run: "
            "pass {'messages': [Message.text_message('...')]}."
        )
    return Start(progress, fresh=False)


def _answered(given: RunInput, progress: Progress, meta: ExecutionState) -> Start:
    waiting = pending(progress, meta)
    answers = answers_of(given, waiting)
    check_pending(list(answers), waiting, progress)
    if at_breakpoint(meta):
        return _past_breakpoint(progress, meta)
    if answers:
        return Start(progress.with_answers([(p, answers[p.id]) for p in waiting if p.id in answers]), False)
    if given.resume is not None or progress.done:
        # Not to be taken for "go on": this may be the same answer once more, and the first is at work.
        raise NothingToResumeError(unfinished=not progress.done)
    return Start(progress, fresh=False)


def _past_breakpoint(progress: Progress, meta: ExecutionState) -> Start:
    return Start(progress.with_answered([one.id for one in pending(progress, meta)]), fresh=False)
