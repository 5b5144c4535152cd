"""`RateLimit`, `RateLimit-Policy` and `Retry-After`: what quotas say, as header fields.

After draft-ietf-httpapi-ratelimit-headers: lists of structured fields, one item a quota.
"""

from typing import Final

from agentflow_tenancy.quotas import Decision, Standing

# The largest integer of a structured field; a limit may be one more.
_MOST: Final = 10**15 - 1


def rate_limit_fields(decision: Decision) -> dict[str, str]:
    """The fields; none where nothing is limited."""
    fields = {}
    if decision.standings:
        fields["RateLimit"] = ", ".join(_left(standing) for standing in decision.standings)
        fields["RateLimit-Policy"] = ", ".join(_policy(standing) for standing in decision.standings)
    if not decision.allowed:
        fields["Retry-After"] = str(decision.retry_after_whole_s)
    return fields


def _left(standing: Standing) -> str:
    reset = "" if standing.reset_s is None else f";t={standing.reset_s}"
    return f'"{standing.name}";r={min(standing.remaining, _MOST)}{reset}'


def _policy(standing: Standing) -> str:
    window = "" if standing.window_s is None else f";w={standing.window_s}"
    # "requests" is what is counted where nothing is said.
    unit = "" if standing.unit in (None, "requests") else f';qu="{standing.unit}"'
    return f'"{standing.name}";q={min(standing.limit, _MOST)}{window}{unit}'
