"""Pausing a run inside a node to ask a person."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from agentflow.errors import InvalidInputError


class GraphInterrupt(BaseException):
    """Carries an interrupt's value out of a node.

    Not an `Exception`, so that a node's own `except Exception` cannot swallow a pause.
    """

    def __init__(self, value: Any) -> None:
        super().__init__("the node waits for a value to resume with")
        self.value = value


class ResumeValues:
    """Answers given to one node's interrupts so far, handed out in the order they were asked."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self._asked = 0

    def take(self, value: Any) -> Any:
        """The answer to the next interrupt, or a pause when there is none yet."""
        if self._asked == len(self._values):
            raise GraphInterrupt(value)
        self._asked += 1
        return self._values[self._asked - 1]


resume_values: ContextVar[ResumeValues | None] = ContextVar("agentflow_resume_values", default=None)


def interrupt(value: Any) -> Any:
    """Pause the run here until somebody resumes it with `{"resume": answer}` or `{"resume": {id: answer}}`.

    The state is saved and the run ends with status `interrupted_before`. On resume the node runs
    again from its start, and this call returns the answer; several calls in one node are answered
    in their order. So what stands before an `interrupt` must be safe to repeat.

    Args:
        value: JSON data for the person who is asked; shown with the interrupt's id in `interrupt_data`.

    Returns:
        The value the run was resumed with.

    Raises:
        InvalidInputError: Called outside a node.
    """
    answers = resume_values.get()
    if answers is None:
        raise InvalidInputError("interrupt() works only inside a node of a running graph.")
    return answers.take(value)
