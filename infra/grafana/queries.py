"""PromQL over what the service tells of itself: the metrics that its spans become, and its gauges."""

from typing import Final

CALLS: Final = "traces_span_metrics_calls_total"
SECONDS: Final = "traces_span_metrics_duration_seconds"

TENANT: Final = "agentflow_tenant_id"
SERVER: Final = 'span_kind="SPAN_KIND_SERVER"'
CLIENT: Final = 'span_kind="SPAN_KIND_CLIENT", span_name!~"chat.*"'
# Not those of nobody: scrapes, refused credentials, the operator's.
OF_TENANTS: Final = f'{TENANT}!=""'
FAILED: Final = 'status_code="STATUS_CODE_ERROR"'
RUN: Final = 'span_name=~"invoke_agent.*"'
MODEL_CALL: Final = 'span_name=~"chat.*"'
TOOL_CALL: Final = 'span_name=~"execute_tool.*"'
WRITE: Final = 'span_name="checkpoint.put"'
READ: Final = 'span_name="checkpoint.get"'
LOCK: Final = 'span_name="thread.lock.acquire"'
QUOTA: Final = 'span_name="quota.check"'

# At least four scrapes: Grafana puts in what fits the picture's resolution.
WINDOW: Final = "$__rate_interval"

# Several processes tell of the same tenant.
TENANTS: Final = f"max by ({TENANT}, slug) (agentflow_tenant_info)"


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """Additions a second to a counter.

    Args:
        metric: Its name.
        matchers: Which series, as `name="value"`.
        by: The labels kept, separated by commas; none when empty.
    """
    return f"sum{_by(by)} (rate({metric}{{{', '.join(matchers)}}}[{WINDOW}]))"


def calls(*matchers: str, by: str = "") -> str:
    """Spans ended a second."""
    return rate(CALLS, *matchers, by=by)


def busy(*matchers: str, by: str = "") -> str:
    """Seconds spent in spans, a second: how many were open on average."""
    return rate(f"{SECONDS}_sum", *matchers, by=by)


def quantile(share: float, *matchers: str, by: str = "", metric: str = SECONDS) -> str:
    """Seconds that a share of the spans (0 to 1) stayed below."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', *matchers, by=labels)})"


def ratio(part: str, whole: str) -> str:
    """A part of a whole, both by the same labels: 0 without a part, nothing without a whole."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def share_of_all(part: str, whole: str) -> str:
    """Parts by some label of a whole that has none."""
    return f"{part} / scalar({whole} > 0)"


def named(by_tenant: str) -> str:
    """The same with the label `slug`: a tenant's name, or what stands for those that are not told apart."""
    return (
        f"({by_tenant}) * on ({TENANT}) group_left (slug) {TENANTS} "
        f'or on ({TENANT}) label_replace({by_tenant}, "slug", "$1", "{TENANT}", "(.*)")'
    )


def latest(gauge: str, *matchers: str, by: str = "") -> str:
    """A gauge that each worker reads from the database: they agree, so one of them is enough."""
    return f"max{_by(by)} ({gauge}{{{', '.join(matchers)}}})"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
