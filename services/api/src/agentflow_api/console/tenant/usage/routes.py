"""`/console/usage`: what was used, as charts and beside what is allowed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from litestar import Response

from agentflow_api.console.charts.data import By
from agentflow_api.console.charts.usage import charts_of, first_of_month, limits_of, quotas_of
from agentflow_api.console.pages import TENANT, Page, shown
from agentflow_api.console.tenant.showing import show

_SPANS: Final = {"month": "This month", "day": "24 hours", "30": "30 days", "year": "A year"}
_DAYS: Final = {"30": 30, "year": 365}


@shown("/console/usage", TENANT)
async def show_usage(page: Page) -> Response[str]:
    """Usage over a time, by the hour where that is a day; quotas as they are now."""
    now = datetime.now(UTC)
    span = page.query.get("span", "")
    span = span if span in _SPANS else "month"
    by: By = "hour" if span == "day" else "day"
    usage, today = await asyncio.gather(
        page.api.get("/v1/usage", **{"from": _since(span, now).isoformat(), "granularity": by}),
        page.api.get("/v1/usage", **{"from": _midnight(now).isoformat(), "granularity": "day"}),
    )
    return show(
        page,
        "tenant/usage/usage.html",
        span=span,
        spans=list(_SPANS.items()),
        total=usage["total"],
        charts=charts_of(usage, by),
        quotas=quotas_of(today, now),
        limits=limits_of(usage),
    )


def _since(span: str, now: datetime) -> datetime:
    if span == "day":
        return now - timedelta(hours=23)
    return first_of_month(now) if span == "month" else _midnight(now) - timedelta(days=_DAYS[span] - 1)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
