"""`RateLimit`, `RateLimit-Policy` and `Retry-After`: what quotas say, as header fields.

After draft-ietf-httpapi-ratelimit-headers: lists of structured fields, one item a quota.
"""

from functools import lru_cache
from typing import Final

from agentflow_tenancy.quotas import Decision, Standing, Unit

# The largest integer of a structured field; a limit may be one more.
_MOST: Final = 10**15 - 1


def rate_limit_fields(decision: Decision) -> dict[str, str]:
    """The fields; none where nothing is limited."""
    fields = {}
    standings = decision.standings
    if standings:
        fields["RateLimit"] = ", ".join(map(_left, standings))
        fields["RateLimit-Policy"] = ", ".join(
            _policy(standing.name, standing.limit, standing.window_s, standing.unit) for standing in standings
        )
    if not decision.allowed:
        fields["Retry-After"] = str(decision.retry_after_whole_s)
    return fields


def _left(standing: Standing) -> str:
    reset = "" if standing.reset_s is None else f";t={standing.reset_s}"
    return f'"{standing.name}";r={min(standing.remaining, _MOST)}{reset}'


@lru_cache(maxsize=1024)
def _policy(name: str, limit: int, window_s: int | None, unit: Unit | None) -> str:
    window = "" if window_s is None else f";w={window_s}"
    # "requests" is what is counted where nothing is said.
    of = "" if unit in (None, "requests") else f';qu="{unit}"'
    return f'"{name}";q={min(limit, _MOST)}{window}{of}'
