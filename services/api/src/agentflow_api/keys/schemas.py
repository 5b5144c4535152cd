"""Bodies of the key routes."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from agentflow_api.http.times import read_time
from agentflow_tenancy import ALL_SCOPES

MAX_OVERLAP_S = 30 * 24 * 3600


def _known(scopes: list[str]) -> list[str]:
    unknown = [scope for scope in scopes if scope not in ALL_SCOPES]
    if unknown:
        raise ValueError(f"there is no scope {unknown[0]!r}; known are {', '.join(ALL_SCOPES)}")
    return list(dict.fromkeys(scopes))


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be shown")
    return text.strip()


def _in_the_future(time: datetime) -> datetime:
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    if aware <= datetime.now(UTC):
        raise ValueError("lies in the past")
    return aware


Scopes = Annotated[list[str], Field(min_length=1, max_length=20), AfterValidator(_known)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Expiry = Annotated[datetime, BeforeValidator(read_time), AfterValidator(_in_the_future)]


class NewKey(BaseModel):
    """A key to make. Without `scopes` it has those of the key that makes it."""

    model_config = ConfigDict(extra="forbid")

    name: Name = "unnamed"
    scopes: Scopes | None = None
    expires_at: Expiry | None = None
    limits: dict[str, Any] | None = None


class Rotation(BaseModel):
    """How long the old key is good beside the new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: StrictInt = Field(default=24 * 3600, ge=0, le=MAX_OVERLAP_S)
