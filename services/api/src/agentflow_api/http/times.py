"""Times in bodies: as text of ISO 8601 that says its zone."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator


def read_time(given: Any) -> datetime:
    """A time out of a body; the number of its seconds is none, in what unit would it be?

    Raises:
        ValueError: It is no text, or no time.
    """
    if not isinstance(given, str):
        raise ValueError("must be text such as 2026-03-01T12:00:00Z")
    return datetime.fromisoformat(given)


IsoTime = Annotated[AwareDatetime, BeforeValidator(read_time)]
