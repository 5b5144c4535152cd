"""Tells the addresses of runs that they are over, until they have heard it or a day has passed."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any, Final

from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError
from agentflow.utils.trace_context import below, outgoing
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import RunRecord
from agentflow_hosting.tickets import serve_tickets
from agentflow_hosting.views import run_view
from agentflow_hosting.webhook_sender import WebhookSender
from agentflow_hosting.webhook_signatures import signed_headers, webhook_secret
from agentflow_hosting.webhook_spans import note_delivery, webhook_span
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.slugs import public_thread_id

logger = logging.getLogger("agentflow.worker")

ENTRYPOINT: Final = "webhook"
# 5 s, 15 s, ... 3 h, then every 6 h: the last attempt is made after some 23 hours.
_FIRST_RETRY_S: Final = 5.0
_LONGEST_RETRY_S: Final = 6 * 3600.0
MOST_ATTEMPTS: Final = 12
_GONE: Final = 410
_AT_ONCE: Final = 16
# One tenant's address that hangs does not keep the others' waiting.
_AT_ONCE_A_TENANT: Final = 4
_COME_BACK_S: Final = 2.0


def retry_after_s(attempts: int) -> float:
    """Seconds from a failed attempt to the next one, when there were so many."""
    return min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 3.0 ** (attempts - 1)) * random.uniform(0.8, 1.2)


class Webhooks:
    """Delivers what runs' ends put in the queue: at least once, the same `webhook-id` each time."""

    def __init__(
        self, engine: AsyncEngine, pepper: bytes, sender: WebhookSender, *, retry_every_s: float | None = None
    ) -> None:
        """Nothing is sent yet.

        Args:
            engine: Of the login that sees every tenant; lends one connection for good.
            pepper: Secrets of tenants are made from it.
            sender: Goes there.
            retry_every_s: Seconds between attempts, all of them; None has them grow to hours.
        """
        self._engine = engine
        self._runs = RunRepository(engine)
        self._tenants = TenantRepository(engine)
        self._pepper = pepper
        self._sender = sender
        self._every_s = retry_every_s
        self._under_way: Counter[uuid.UUID] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; outages of Postgres are waited out."""
        await serve_tickets(self._engine, ENTRYPOINT, self.on_ticket, stop, room=lambda: _AT_ONCE)

    async def on_ticket(self, ticket: Job) -> None:
        """Make one attempt.

        Raises:
            RetryRequested: It is to be tried again.
        """
        about = json.loads(ticket.payload or b"")
        tenant_id, run_id = uuid.UUID(about["tenant_id"]), uuid.UUID(about["run_id"])
        if self._under_way[tenant_id] >= _AT_ONCE_A_TENANT:
            raise RetryRequested(timedelta(seconds=_COME_BACK_S * random.uniform(0.5, 1.5)))
        self._under_way[tenant_id] += 1
        try:
            wait_s = await self._attempt(tenant_id, run_id)
        except StorageError as error:
            logger.warning("The webhook of run %s waits for Postgres: %s", run_id, error)
            wait_s = _COME_BACK_S
        finally:
            self._under_way[tenant_id] -= 1
            if not self._under_way[tenant_id]:
                del self._under_way[tenant_id]
        if wait_s is not None:
            raise RetryRequested(timedelta(seconds=wait_s))

    async def _attempt(self, tenant_id: uuid.UUID, run_id: uuid.UUID) -> float | None:
        """Seconds until the next one, None when there is none to make."""
        run = await self._runs.get(tenant_id, run_id)
        tenant = await self._tenants.find_tenant(str(tenant_id))
        if run is None or run.webhook is None or not run.is_over or tenant is None:
            return None
        if run.webhook_delivered_at is not None or tenant.state != "active":
            return None
        body = message_of(run, tenant)
        secret = webhook_secret(self._pepper, tenant_id)
        headers = signed_headers(secret, str(run_id), int(time.time()), body)
        headers["content-type"] = "application/json"
        headers["user-agent"] = "agentflow-cloud"
        with below(run.traceparent), webhook_span(tenant) as span:
            answer = await self._sender.post(run.webhook, body, headers | outgoing())
            note_delivery(span, answer)
        noted = await self._runs.note_webhook(run, answer.status, answer.error)
        if answer.error is None or noted is None:
            return None
        if answer.status == _GONE or noted.webhook_attempts >= MOST_ATTEMPTS:
            logger.warning("The webhook of run %s is given up: %s.", run_id, answer.error)
            return None
        return retry_after_s(noted.webhook_attempts) if self._every_s is None else self._every_s


def message_of(run: RunRecord, tenant: Tenant) -> bytes:
    """What an address is told, each time the same."""
    at = None if run.finished_at is None else run.finished_at.isoformat()
    view: dict[str, Any] = run_view(run, public_thread_id(tenant.slug, run.thread_id))
    del view["webhook_status"]
    message = {"type": "run.completed", "timestamp": at, "data": view}
    return json.dumps(message, separators=(",", ":")).encode()
