"""What stands for a span of storage when nobody needs more of it than to count it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from types import TracebackType
from typing import Final, Literal, Self

from agentflow.errors import AgentFlowError
from agentflow.utils.interrupt import GraphInterrupt

Attributes = Mapping[str, str | int | bool | list[str]]
Kind = Literal["INTERNAL", "CLIENT", "CONSUMER"]

# A cancelled wait is no failure of what it waited for.
_NO_FAILURE: Final = (GraphInterrupt, GeneratorExit)


def reason_of(error: BaseException | None) -> str | None:
    """A code or the name of a class, if it is a failure: an error's words may quote anything."""
    if error is None or isinstance(error, _NO_FAILURE):
        return None
    return error.code if isinstance(error, AgentFlowError) else type(error).__name__


class CountedLeaf:
    """Counted at its end: it has no ids, since it leaves no process and nothing begins below it.

    Most spans of a request are that. Cost: a third of one with ids, parent and status.

    Attributes:
        name: Of what was done.
        kind: CLIENT for a call to another service.
        attributes: As far as they are known.
        failed: Why it went wrong, if it did.
        seconds: It took; 0 as long as it is not over.
    """

    __slots__ = ("_began", "_tell", "attributes", "failed", "kind", "name", "seconds")
    recording: Final = True
    sampled: Final = False

    def __init__(
        self, tell: Callable[[CountedLeaf], None], name: str, attributes: Attributes, kind: Kind
    ) -> None:
        """Begun now.

        Args:
            tell: Is called once, at its end.
            name: Of what is done, with few values.
            attributes: Not changed here; more may come.
            kind: See there.
        """
        self._tell: Callable[[CountedLeaf], None] | None = tell
        self.name = name
        self.kind: Kind = kind
        self.attributes = attributes
        self.failed: str | None = None
        self.seconds = 0.0
        self._began = perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(exc)

    def end(self, error: BaseException | None = None) -> None:
        """It is over, with what went wrong, if anything did. The first call counts."""
        tell = self._tell
        if tell is None:
            return
        self.seconds = perf_counter() - self._began
        if error is not None:
            self.failed = reason_of(error) or self.failed
        self._tell = None
        tell(self)

    def note(self, attributes: Attributes) -> None:
        """Add what is known by now."""
        if self._tell is None:
            return
        self.attributes = {**self.attributes, **attributes}

    def fail(self, reason: str) -> None:
        """It went wrong; the reason is a code or the name of a class."""
        if self._tell is not None:
            self.failed = reason
