"""How the service is, for who runs it: what answers, what waits, and what the doctor finds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from agentflow.errors import AgentFlowError
from agentflow_api.health.routes import redis_state
from agentflow_api.wiring import Wiring
from agentflow_doctor.deployment import connections_of, migrations_of
from agentflow_doctor.examine import examine_within
from agentflow_doctor.findings import doubtful
from agentflow_hosting.gauge_repository import BacklogRepository

logger = logging.getLogger("agentflow.api")

_GOOD_FOR_S: Final = 30.0
_PATIENCE_S: Final = 0.1
_MIGRATIONS: Final = migrations_of([Path.cwd(), *Path(__file__).resolve().parents])


class Examination:
    """Findings of the doctor, made at most twice a minute, by one for all who ask. Nobody waits for long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is looked at yet."""
        self._clock = clock
        self._making: asyncio.Task[list[dict[str, Any]]] | None = None
        self._begun_at = 0.0
        self._last: list[dict[str, Any]] | None = None

    async def findings(self, wiring: Wiring) -> list[dict[str, Any]] | None:
        """What was found the last time; None while the first look goes on: ask again."""
        if self._making is None and (self._last is None or self._clock() - self._begun_at > _GOOD_FOR_S):
            self._begun_at = self._clock()
            self._making = wiring.background.start(_look(wiring))
        if self._making is not None:
            await asyncio.wait({self._making}, timeout=_PATIENCE_S)
            if self._making.done():
                made, self._making = self._making, None
                self._last = _result(made)
        return self._last


def _result(made: asyncio.Task[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What was found; a look that failed is a finding, and the next one is made as usual."""
    try:
        return made.result()
    except (Exception, asyncio.CancelledError):  # a page about health has to come
        logger.exception("The doctor could not look.")
        advice = "see the log, or run `agentflow-cloud doctor`"
        return [doubtful("doctor", "could not look", advice).as_data()]


async def health_of(wiring: Wiring, examination: Examination) -> dict[str, Any]:
    """All of it; what cannot be asked at this moment is null, and never an error."""
    redis, quotas, postgres, findings = await asyncio.gather(
        redis_state(wiring), wiring.quotas.state(), _postgres(wiring), examination.findings(wiring)
    )
    state, queue, leaving = postgres
    return {
        "postgres": {"state": state, "pool": _pool(wiring.engine)},
        "redis": {"state": redis},
        "quotas": {"state": quotas},
        "modes": {"cache": wiring.checkpointer.degraded, "quotas": wiring.quotas.degraded},
        "queue": queue,
        "offboarding_backlog": leaving,
        "findings": findings,
    }


async def _postgres(wiring: Wiring) -> tuple[str, dict[str, Any] | None, int | None]:
    try:
        found = await BacklogRepository(wiring.engine).read()
    except AgentFlowError:
        return "away", None, None
    queue = {"waiting": found.runs_queued, "running": found.runs_active, "oldest_s": found.queue_age_s}
    return "ok", queue, found.offboardings


async def _look(wiring: Wiring) -> list[dict[str, Any]]:
    settings = wiring.settings
    redis = {} if settings.redis_url is None else {"redis": settings.redis_url}
    if settings.quota_redis_url not in (None, settings.redis_url):
        redis["quota redis"] = str(settings.quota_redis_url)
    connections = connections_of(
        pool=settings.pool_size, replicas=settings.replicas, workers=settings.workers
    )
    found = await examine_within(wiring.engine, _MIGRATIONS, connections=connections, redis=redis)
    return [finding.as_data() for finding in found]


def _pool(engine: AsyncEngine) -> dict[str, int] | None:
    pool = engine.pool
    return {"size": pool.size(), "in_use": pool.checkedout()} if isinstance(pool, QueuePool) else None
