"""Fields of forms, read."""

import json
from collections.abc import Mapping
from typing import Any, Final

from agentflow_api.http.problems import InvalidBodyError

_LONGEST: Final = 12


def text(form: Mapping[str, str], name: str) -> str:
    """A field without the space around it; nothing if it is not there."""
    return form.get(name, "").strip()


def number(form: Mapping[str, str], name: str) -> int:
    """A field that is a whole number.

    Raises:
        InvalidBodyError: It is not there, or none.
    """
    value = text(form, name)
    if not (value.isascii() and value.isdecimal() and len(value) <= _LONGEST):
        raise invalid(name, f"{name.replace('_', ' ')} must be a whole number.")
    return int(value)


def answer(form: Mapping[str, str]) -> Any:
    """What was answered: text, or what its JSON says.

    Raises:
        InvalidBodyError: It was said to be JSON and is none.
    """
    given = form.get("answer", "")
    if form.get("form") != "json":
        return given
    try:
        return json.loads(given)
    except ValueError:
        raise invalid(
            "answer", 'The answer is no JSON. Choose text, or write it as true, 3, "yes" or {"ok": 1}.'
        ) from None


def invalid(name: str, problem: str) -> InvalidBodyError:
    """The error for a field."""
    return InvalidBodyError(problem, [{"loc": [name], "msg": problem, "type": "value_error"}])
