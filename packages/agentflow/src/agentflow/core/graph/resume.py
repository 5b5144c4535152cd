"""Answers to what a thread waits for: which interrupt each is for, and whether that still waits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from agentflow.core.graph.inputs import RunInput
from agentflow.core.graph.progress import Progress
from agentflow.core.state.execution import BREAKPOINTS, ExecutionState
from agentflow.errors import AmbiguousResumeError, InterruptAnsweredError, ResumeConflictError
from agentflow.storage.checkpointer.delta import Json
from agentflow.storage.checkpointer.run_status import PendingInterrupt, interrupt_of

_ID: Final = re.compile(r"int_[0-9a-f]{32}")


def at_breakpoint(meta: ExecutionState) -> bool:
    """Whether the run is held by one of the graph's own breakpoints."""
    return meta.is_interrupted() and meta.interrupt_reason in BREAKPOINTS


def pending(progress: Progress, meta: ExecutionState) -> list[PendingInterrupt]:
    """What the thread waits for: questions of its nodes, or a breakpoint."""
    if progress.pauses or not at_breakpoint(meta):
        return list(progress.pauses)
    return [interrupt_of(data) for data in meta.interrupts]


def answers_of(given: RunInput, waiting: Sequence[PendingInterrupt]) -> dict[str, Json]:
    """Interrupt id -> its answer.

    A dict whose keys are all ids of interrupts is a map; everything else is one value, for the interrupt
    that `resume_id` names or the only one that waits. {} when nothing waits that a value could be for.

    Raises:
        AmbiguousResumeError: One value, and several interrupts wait.
    """
    if given.resume_id is not None:
        return {given.resume_id: given.resume}
    if is_map(given.resume, waiting):
        return dict(given.resume)
    if len(waiting) > 1:
        raise AmbiguousResumeError([(pause.id, pause.node) for pause in waiting])
    return {pause.id: given.resume for pause in waiting}


def check_pending(ids: Sequence[str], waiting: Sequence[PendingInterrupt], progress: Progress) -> None:
    """Refuse answers of which any is too late: none of them counts then.

    Raises:
        InterruptAnsweredError: Somebody answered it before.
        ResumeConflictError: It is not pending, for another reason or one that is long forgotten.
    """
    still = [pause.id for pause in waiting]
    late = [one for one in ids if one not in still]
    if not late:
        return
    if any(one in progress.answered for one in late):
        raise InterruptAnsweredError(late, pending=still)
    raise ResumeConflictError(late, pending=still)


def meant(given: RunInput, progress: Progress, meta: ExecutionState) -> RunInput:
    """The input, with a value bound to the interrupt that waits now: never to one that comes after it."""
    waiting = pending(progress, meta)
    if not given.resumes or given.resume_id is not None or len(waiting) != 1:
        return given
    return given if is_map(given.resume, waiting) else replace(given, resume_id=waiting[0].id)


def is_map(resume: Any, waiting: Sequence[PendingInterrupt]) -> bool:
    """Whether an answer says which interrupts it is for: every key is an id of one."""
    if not isinstance(resume, Mapping) or not resume:
        return False
    ids = {pause.id for pause in waiting}
    return all(isinstance(key, str) and (key in ids or _ID.fullmatch(key)) for key in resume)
