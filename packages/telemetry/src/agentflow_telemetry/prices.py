"""What models cost, as the operator wrote it down."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "AGENTFLOW_MODEL_PRICES"
MEANING: Final = "File with what models cost, in TOML. Nothing is priced if not set."


@dataclass(frozen=True, slots=True)
class Price:
    """Of a model, in US dollars for a million tokens."""

    input_usd: float
    output_usd: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """In US dollars."""
        return (tokens_in * self.input_usd + tokens_out * self.output_usd) / 1e6


Prices = Mapping[str, Price]
_FIELDS: Final = {"input_usd_per_million", "output_usd_per_million"}


def read_prices(path: str) -> Prices:
    """The prices in a file: a table for each model, with input_usd_per_million and output_usd_per_million.

    Args:
        path: Empty when there is none.

    Raises:
        ValueError: It is missing or malformed; the text names the variable.
    """
    if not path:
        return {}
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        return {model: _price(model, values) for model, values in given.items()}
    except (OSError, ValueError) as error:
        raise ValueError(f"{VARIABLE}: {error}") from error


def _price(model: str, values: Any) -> Price:
    numbers = values.values() if isinstance(values, dict) else ()
    if not isinstance(values, dict) or values.keys() != _FIELDS or not all(map(_is_price, numbers)):
        raise ValueError(f"{model} must have {' and '.join(sorted(_FIELDS))}, numbers of at least 0.")
    return Price(float(values["input_usd_per_million"]), float(values["output_usd_per_million"]))


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
