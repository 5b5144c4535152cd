"""The whole service with two tenants that do all that dashboards tell of, again and again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support import databases
from tests.support.agents import AGENTS, pipes
from tests.support.api import Api, TenantKey, free_port, running_api, say
from tests.support.openai_stub import OpenAIStub, Reply
from tests.support.otlp_collector import Collector, otlp_collector
from tests.support.run import ROOT
from tests.support.worker import running_worker

PRICES = "[some-model]\ninput_usd_per_million = 100000\noutput_usd_per_million = 400000\n"


@dataclass
class BusyService:
    """Both tenants, and where they leave their traces.

    Attributes:
        collector: Gets every span, as the one that we ship.
        large: Runs agents with models and tools; some fail. Moved to a partition of its own.
        small: Says little, and more than its quota allows.
    """

    api: Api
    model: OpenAIStub
    collector: Collector
    large: TenantKey
    small: TenantKey
    worker_port: int

    def once(self, folder: Path) -> None:
        """What happens once: a move, a user who is forgotten, a thread that is busy."""
        with self.api.operator() as operator, self.api.client(self.large) as client:
            slug = self.large.tenant.slug
            asked = operator.post(f"/v1/admin/tenants/{slug}/placement", json={"placement": "dedicated"})
            assert asked.status_code == 202, asked.text
            asked = client.post("/v1/tenant/forgotten-users", json={"user_id": "u-1"})
            assert asked.status_code == 202, asked.text
            self._wait_for_a_busy_thread(client, folder)

    def round(self) -> None:
        """What happens all the time."""
        with self.api.client(self.large) as client:
            self.model.script += [
                Reply(calls=[("look_up", {"word": "word"}), ("look_up", {"word": "broken-word"})]),
                Reply("Done."),
            ]
            assert client.post("/a/traced/v1/graph/invoke", json=say("hi", "traced")).status_code == 200
            assert client.post("/a/breaks/v1/graph/invoke", json=say("hi", "breaks")).status_code == 500
            self.model.script.append(Reply(status=400))
            client.post("/a/traced/v1/graph/invoke", json=say("hi", None))
            for _ in range(3):
                assert client.post("/v1/graph/invoke", json=say("hi", "talk")).status_code == 200
                assert client.get("/v1/threads/talk/messages").status_code == 200
            assert client.post("/v1/threads/queued/runs", json=say("hi", "queued")).status_code == 202
        with self.api.client(self.small) as client:
            for _ in range(8):
                client.get("/v1/threads")
            client.post("/v1/graph/invoke", json=say("hi", "talk"))

    def _wait_for_a_busy_thread(self, client: httpx.Client, folder: Path) -> None:
        """One run has the thread; another waits for it until its time is over."""
        running, go = pipes(folder)
        holder = threading.Thread(
            target=lambda: client.post("/a/waits/v1/graph/invoke", json=say(f"{running}|{go}", "busy"))
        )
        holder.start()
        running.read_text()
        with self.api.client(self.large) as other:
            assert other.post("/a/memory/v1/graph/invoke", json=say("hi", "busy")).status_code == 409
        go.write_text("go")
        holder.join()


@contextmanager
def busy_service(database_url: str, redis_url: str, folder: Path) -> Iterator[BusyService]:
    """An API and a worker as they are shipped, with metrics, prices and agents."""
    prices, port = folder / "prices.toml", free_port()
    prices.write_text(PRICES)
    with OpenAIStub() as model, otlp_collector() as collector:
        hosted = {
            "AGENTFLOW_AGENTS": f"{AGENTS},traced=tests.support.traced_agent:graph",
            "AGENTFLOW_TEST_MODEL_URL": model.base_url,
            "AGENTFLOW_MODEL_PRICES": str(prices),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "PYTHONPATH": str(ROOT),
        }
        with (
            running_api(database_url, redis_url, AGENTFLOW_LOCK_WAIT_S="0", **hosted) as api,
            running_worker(
                database_url,
                redis_url,
                AGENTFLOW_DATABASE_URL=databases.app_url(database_url),
                AGENTFLOW_KEY_PEPPER=api.pepper,
                AGENTFLOW_OPERATOR_TOKEN=api.operator_token,
                AGENTFLOW_METRICS_PORT=str(port),
                **hosted,
            ),
        ):
            with api.operator() as operator:
                few = {"requests_per_minute": 60, "burst": 5}
                for slug, limits in ({"large": {}, "small": few}).items():
                    body = {"slug": slug, "plan": "enterprise", "limits": limits}
                    assert operator.post("/v1/admin/tenants", json=body).status_code == 201
            large, small = api.tenant("large"), api.tenant("small")
            yield BusyService(api, model, collector, large, small, port)
