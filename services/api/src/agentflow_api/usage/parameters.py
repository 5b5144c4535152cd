"""`from`, `to`, `granularity` and pages, checked."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from litestar import Request

from agentflow_api.http import parameters
from agentflow_api.http.problems import InvalidParameterError
from agentflow_tenancy.usage_repository import Granularity

_HOUR: Final = timedelta(hours=1)
_LONGEST: Final[dict[Granularity, timedelta]] = {"hour": timedelta(days=31), "day": timedelta(days=366)}
_UNASKED: Final[dict[Granularity, timedelta]] = {"hour": timedelta(days=1), "day": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Whole hours of UTC: the first, and the first that no longer counts."""

    since: datetime
    until: datetime


def granularity(request: Request[Any, Any, Any]) -> Granularity:
    """What is added up.

    Raises:
        InvalidParameterError: Neither hour nor day.
    """
    match request.query_params.get("granularity") or "day":
        case "hour":
            return "hour"
        case "day":
            return "day"
        case _:
            raise _invalid("granularity", "must be hour or day")


def asked_time(request: Request[Any, Any, Any], by: Granularity) -> TimeSpan:
    """From `from` until before `to`; until now, and a day or a month before that, where nothing is said.

    Raises:
        InvalidParameterError: No time, none left between them, or too much.
    """
    until = _time(request, "to") or datetime.now(UTC)
    until = -((datetime.min.replace(tzinfo=UTC) - until) // _HOUR) * _HOUR + datetime.min.replace(tzinfo=UTC)
    since = _time(request, "from") or until - _UNASKED[by]
    since = since.replace(minute=0, second=0, microsecond=0)
    if since >= until:
        raise _invalid("from", "must be before to")
    if until - since > _LONGEST[by]:
        raise _invalid("from", f"can be at most {_LONGEST[by].days} days before to by the {by}")
    return TimeSpan(since, until)


def asked_page(request: Request[Any, Any, Any]) -> tuple[str, int]:
    """The tenant that the last page ended with, and how many follow."""
    _, _, limit = parameters.page(request)
    after = request.query_params.get("after") or ""
    if len(after) > 100 or "\0" in after:
        raise _invalid("after", "must be a tenant's slug")
    return after, limit


def _time(request: Request[Any, Any, Any], name: str) -> datetime | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _invalid(name, "must be a time such as 2026-03-01T12:00:00Z, or a day") from None
    if not 2000 <= time.year < 2200:
        raise _invalid(name, "must be between the years 2000 and 2200")
    return time


def _invalid(name: str, problem: str) -> InvalidParameterError:
    detail = {"loc": [name], "msg": f"{name} {problem}", "type": "value_error"}
    return InvalidParameterError(f"{name} {problem}.", [detail])
