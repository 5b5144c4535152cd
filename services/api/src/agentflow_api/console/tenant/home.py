"""`/console/home`: the month's usage, the latest threads, and how to make a key."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from litestar import Response
from markupsafe import Markup

from agentflow_api.console.charts import Chart, Series, bar_chart
from agentflow_api.console.charts.usage import daily_series, first_of_month, quotas_of
from agentflow_api.console.pages import TENANT, Page, shown
from agentflow_api.console.tenant.showing import show
from agentflow_tenancy import THREADS_READ, USAGE_READ

_LATEST: Final = 8


@shown("/console/home", TENANT)
async def home(page: Page) -> Response[str]:
    """What there is to know at a glance; what the key may not read is said to be so."""
    now = datetime.now(UTC)
    usage, threads = await asyncio.gather(_usage(page, now), _threads(page))
    return show(
        page,
        "tenant/home.html",
        month=f"{now:%B %Y}",
        usage=usage,
        quotas=[] if usage is None else quotas_of(usage, now),
        chart="" if usage is None else _chart(usage),
        threads=threads,
        looked_for=False,
    )


async def _usage(page: Page, now: datetime) -> Any:
    if not page.may(USAGE_READ):
        return None
    since = first_of_month(now).isoformat()
    return await page.api.get("/v1/usage", **{"from": since, "granularity": "day"})


async def _threads(page: Page) -> Any:
    if not page.may(THREADS_READ):
        return None
    return (await page.api.send("POST", "/v1/threads/search", {"limit": _LATEST}))["threads"]


def _chart(usage: Any) -> Markup:
    places, values = daily_series(usage, "runs")
    return bar_chart(Chart("Runs by day", places, [Series("runs", values)], heading="Day"))
