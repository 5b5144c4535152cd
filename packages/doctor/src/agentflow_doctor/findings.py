"""What was looked at, and how it was found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: Its name, for scripts.
        level: `error` is wrong now: it loses, shows or refuses something. `warning` will be one day.
        found: How it was found. No secrets.
        advice: What to do about it; "" when all is well.
    """

    check: str
    level: Level
    found: str
    advice: str = ""

    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def well(check: str, found: str) -> Finding:
    """As it should be."""
    return Finding(check, "ok", found)


def doubtful(check: str, found: str, advice: str) -> Finding:
    """It works, and should be looked after."""
    return Finding(check, "warning", found, advice)


def wrong(check: str, found: str, advice: str) -> Finding:
    """It must be put right."""
    return Finding(check, "error", found, advice)
