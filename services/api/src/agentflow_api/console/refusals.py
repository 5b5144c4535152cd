"""Why a form or a search was refused: its page shows what was typed, and where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from markupsafe import Markup

from agentflow_api.console.backend import ApiRefusedError
from agentflow_api.http.problems import InvalidBodyError

INVALID: Final = 422
# What was typed can be put right.
_CORRECTABLE: Final = (404, 409, 413, INVALID)
_CHECKED: Final = Markup(" checked")
_AT_FAULT: Final = Markup(' aria-invalid="true" aria-describedby="problem"')
_NOTHING: Final = Markup()

type Refused = ApiRefusedError | InvalidBodyError


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a page says of it; the one of a page that was not refused says nothing.

    Attributes:
        problem: In words.
        status: Of the answer.
        wrong: Names of what is at fault, as the API or the form has them.
        form: What was typed.
    """

    problem: str = ""
    status: int = 200
    wrong: frozenset[str] = frozenset()
    form: Mapping[str, str] = field(default_factory=dict)

    def typed(self, name: str, default: Any = "") -> Any:
        """What a field holds: as it was typed, if the form is shown again."""
        return self.form.get(name, default) if self.problem else default

    def ticked(self, name: str, *, default: bool = False) -> Markup:
        """The attribute of a box, likewise."""
        is_ticked = name in self.form if self.problem else default
        return _CHECKED if is_ticked else _NOTHING

    def fault(self, *names: str) -> Markup:
        """The attributes of a field that is at fault, by any of the names that it has."""
        return _NOTHING if self.wrong.isdisjoint(names) else _AT_FAULT


def refusal_of(error: Refused, form: Mapping[str, str] | None = None) -> Refusal:
    """What a page says of an error."""
    told = [one for one in error.details if isinstance(one, Mapping)]
    named = [(str(one.get("msg", "")), [str(step) for step in one.get("loc") or ()]) for one in told]
    more = [f"{loc[-1].replace('_', ' ')}: {msg}." for msg, loc in named if loc and msg not in str(error)]
    return Refusal(
        " ".join([str(error), *more]),
        error.status if isinstance(error, ApiRefusedError) else INVALID,
        frozenset(step for _, loc in named for step in loc),
        form or {},
    )


def is_correctable(error: Refused) -> bool:
    """Whether a form that is sent with something else may be taken."""
    return isinstance(error, InvalidBodyError) or error.status in _CORRECTABLE
