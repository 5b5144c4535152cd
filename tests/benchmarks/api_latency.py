"""How soon a run begins: a stream's first chunk, an invoke's first node, a background run's."""

import http.client
import json
import statistics
import time
import uuid
from datetime import datetime
from typing import Any

from tests.benchmarks.bench import Bench
from tests.support import databases
from tests.support.api import Api, TenantKey, say
from tests.support.worker import running_worker

# The first ones open connections and prepare statements.
_WARM_UP = 5


class _Caller:
    """One connection that stays open; a client library would take as long as what is measured."""

    def __init__(self, api: Api, tenant: TenantKey) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
        self._headers = {**tenant.headers, "Content-Type": "application/json"}

    def send(self, path: str, body: Any = None) -> http.client.HTTPResponse:
        """A POST, or a GET without a body."""
        method, text = ("GET", None) if body is None else ("POST", json.dumps(body))
        self._connection.request(method, path, text, self._headers)
        answer = self._connection.getresponse()
        if answer.status >= 300:
            raise RuntimeError(answer.read().decode())
        return answer

    def data(self, path: str, body: Any = None) -> Any:
        """The same, read."""
        return json.loads(self.send(path, body).read())["data"]

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def measure_first_chunk(bench: Bench, api: Api, tenant: TenantKey) -> None:
    """One at a time, in turn: until the first line of a stream, and until an invoke's first node begins."""
    caller = _Caller(api, tenant)
    rounds: list[tuple[float, float]] = []
    for warm in range(_WARM_UP):
        _first_chunk(caller, f"warm-{warm}")
        _first_node(caller, f"warm-node-{warm}")
    for number in range(bench.sizes.rounds):
        chunks, nodes = [], []
        for step in range(_steps(bench)):
            chunks.append(_first_chunk(caller, f"chunk-{number}-{step}"))
            nodes.append(_first_node(caller, f"node-{number}-{step}"))
        rounds.append((statistics.median(chunks), statistics.median(nodes)))
    caller.close()
    report = bench.report
    node_label = "until an invoke's first node begins, p50"
    report.add("api.first_node", node_label, "ms", [1000 * node for _, node in rounds])
    chunk_label = "until a stream's first chunk, p50"
    report.add("api.first_chunk", chunk_label, "ms", [1000 * chunk for chunk, _ in rounds])
    ratio = [chunk / node for chunk, node in rounds]
    report.add("api.first_chunk/node", "  to an invoke's first node", "x", ratio)


def measure_background(bench: Bench, api: Api, tenant: TenantKey) -> None:
    """One at a time, with a worker that has nothing else to do: from the run's record to its first node."""
    with running_worker(
        api.database_url,
        bench.redis_url,
        AGENTFLOW_DATABASE_URL=databases.app_url(api.database_url),
        AGENTFLOW_KEY_PEPPER=api.pepper,
        AGENTFLOW_AGENTS="clock=tests.benchmarks.clock_agent:graph",
    ):
        caller = _Caller(api, tenant)
        for _ in range(_WARM_UP):
            _background(caller)
        waits = [[_background(caller) for _ in range(_steps(bench))] for _ in range(bench.sizes.rounds)]
        caller.close()
    p50 = [1000 * statistics.median(wait) for wait in waits]
    bench.report.add("api.background", "background run: enqueue to first node, p50", "ms", p50)
    worst = [1000 * max(wait) for wait in waits]
    bench.report.add("api.background.worst", "  the slowest", "ms", worst)


def _steps(bench: Bench) -> int:
    return max(1, int(30 * bench.sizes.seconds))


def _first_chunk(caller: _Caller, thread_id: str) -> float:
    start = time.time()
    answer = caller.send("/a/clock/v1/graph/stream", say("hello", thread_id))
    answer.readline()
    taken = time.time() - start
    answer.read()
    return taken


def _first_node(caller: _Caller, thread_id: str) -> float:
    start = time.time()
    return _told(caller.data("/a/clock/v1/graph/invoke", say("hello", thread_id))) - start


def _background(caller: _Caller) -> float:
    """Seconds between two moments of this machine's clock: the record's, and the node's."""
    runs = f"/v1/threads/{uuid.uuid4().hex}/runs"
    run = caller.data(f"/a/clock{runs}", say("hello", None))["run"]
    result = caller.data(f"/a/clock{runs}/{run['run_id']}/join")["result"]
    return _told(result) - datetime.fromisoformat(run["created_at"]).timestamp()


def _told(result: dict[str, Any]) -> float:
    """What the clock agent's node said."""
    return float(result["messages"][-1]["content"][0]["text"])
