"""API and worker processes killed at random moments under load: what was promised holds afterwards.

The short form kills 8 times, `AGENTFLOW_TEST_PROFILE=full` 50 times.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import databases
from tests.support.api import Api, TenantKey, say
from tests.support.run import ROOT
from tests.support.waiting import soon

KILLS = 50 if os.environ.get("AGENTFLOW_TEST_PROFILE") == "full" else 8
AGENTS = "memory=tests.support.counted_agent:graph"  # the default one
STEPS = ["one", "two", "three"]
CLIENTS = 4


class Worker:
    """A worker process that may be killed and started again."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "agentflow_worker"], env=self.environment)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)


@dataclass
class Done:
    """What the clients did and saw."""

    invoked: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    queued: dict[str, str] = field(default_factory=dict)
    streamed: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    retries: int = 0


@dataclass
class Stack:
    """Two API processes, two workers, one database."""

    apis: list[Api]
    workers: list[Worker]
    notes: Path
    tenant: TenantKey

    def client(self, number: int) -> httpx.Client:
        return httpx.Client(base_url=self.apis[number % 2].base_url, headers=self.tenant.headers, timeout=20)

    def kill_one(self, chance: random.Random) -> str:
        number = chance.randrange(2)
        if chance.random() < 0.5:
            self.apis[number].kill()
            self.apis[number].start()
            return "api"
        self.workers[number].kill()
        self.workers[number].start()
        return "worker"


@pytest.fixture
def stack(migrated_database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    notes = tmp_path / "notes"
    notes.touch()
    more = {
        "AGENTFLOW_AGENTS": AGENTS,
        "AGENTFLOW_TEST_NOTES": str(notes),
        "PYTHONPATH": str(ROOT),
    }
    apis = [Api(migrated_database_url, redis_url, **more) for _ in range(2)]
    apis[1].pepper, apis[1].operator_token = apis[0].pepper, apis[0].operator_token
    apis[1].environment |= {
        "AGENTFLOW_KEY_PEPPER": apis[0].pepper,
        "AGENTFLOW_OPERATOR_TOKEN": apis[0].operator_token,
    }
    environment = (
        os.environ
        | more
        | {
            "AGENTFLOW_OPERATIONS_DATABASE_URL": migrated_database_url,
            "AGENTFLOW_DATABASE_URL": databases.app_url(migrated_database_url),
            "AGENTFLOW_REDIS_URL": redis_url,
            "AGENTFLOW_KEY_PEPPER": apis[0].pepper,
        }
    )
    workers = [Worker(environment) for _ in range(2)]
    parts: list[Any] = [*apis, *workers]
    try:
        for part in parts:
            part.start()
        yield Stack(apis, workers, notes, apis[0].tenant())
    finally:
        for part in parts:
            with suppress(Exception):
                part.stop()


def invoke(stack: Stack, done: Done, number: int) -> None:
    """With a key, until it is answered."""
    key, body = uuid.uuid4().hex, say(f"invoke {number}", f"invoke-{number}")
    while True:
        try:
            with stack.client(number + done.retries) as client:
                answer = client.post("/v1/graph/invoke", json=body, headers={"idempotency-key": key})
        except httpx.HTTPError:
            done.retries += 1
            continue
        if answer.status_code == 200:
            done.invoked[key] = (body, answer.content)
            return
        assert answer.status_code in {409, 503}, answer.text
        done.retries += 1


def queue(stack: Stack, done: Done, number: int) -> None:
    """A run in the background, made once."""
    key, thread = uuid.uuid4().hex, f"queue-{number}"
    while True:
        try:
            with stack.client(number + done.retries) as client:
                answer = client.post(
                    f"/v1/threads/{thread}/runs",
                    json=say(f"queue {number}"),
                    headers={"idempotency-key": key},
                )
        except httpx.HTTPError:
            done.retries += 1
            continue
        if answer.status_code == 202:
            done.queued[thread] = answer.json()["data"]["run"]["run_id"]
            return
        assert answer.status_code in {409, 503}, answer.text
        done.retries += 1


def stream(stack: Stack, done: Done, number: int) -> None:
    """A stream that is cut with its server, and joined again behind the last whole line."""
    key, thread = uuid.uuid4().hex, f"stream-{number}"
    lines: list[str] = []
    run_id = None
    until = time.monotonic() + 90
    while time.monotonic() < until:
        try:
            with stack.client(number + done.retries) as client:
                if run_id is None:
                    asked: Any = client.stream(
                        "POST",
                        "/v1/graph/stream",
                        json=say(f"stream {number}", thread),
                        headers={"idempotency-key": key},
                    )
                else:
                    path = f"/v1/threads/{thread}/runs/{run_id}"
                    asked = client.stream("GET", f"{path}/stream", params={"after": len(lines) - 1})
                with asked as answer:
                    if answer.status_code != 200:
                        done.retries += 1
                        continue
                    run_id = answer.headers["x-run-id"]
                    if not answer.request.url.path.endswith(f"{run_id}/stream"):
                        lines.clear()
                    lines.extend(line for line in answer.iter_lines() if line.endswith("}"))
                run = client.get(f"/v1/threads/{thread}/runs/{run_id}").json()["data"]["run"]
            if run["finished_at"] and run["chunks"] == len(lines):
                done.streamed[thread, run_id] = lines
                return
        except (httpx.HTTPError, KeyError):
            done.retries += 1
    raise AssertionError(f"the stream of {thread} did not end: {len(lines)} lines")


@pytest.mark.slow
@pytest.mark.leaves_connections
def test_kills_under_load(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """P1 to P5 and P12, and every stream whole."""
    chance = random.Random(20261124)
    done, kills, over = Done(), Counter[str](), threading.Event()

    def load(lane: int) -> None:
        number = lane
        while not over.is_set():
            for work in (invoke, queue, stream):
                work(stack, done, number)
            number += CLIENTS

    with ThreadPoolExecutor(CLIENTS) as pool:
        lanes = [pool.submit(load, lane) for lane in range(CLIENTS)]
        try:
            for _ in range(KILLS):
                threading.Event().wait(chance.uniform(0.1, 0.9))
                kills[stack.kill_one(chance)] += 1
        finally:  # else a failure here would wait for clients that never stop
            over.set()
        for lane in lanes:
            lane.result(300)
    with stack.client(0) as client:
        soon(lambda: not unfinished(client), within_s=60)
        longest = check(stack, client, done)
    with capsys.disabled():
        sys.stdout.write(
            f"\nkilled {dict(kills)}; {len(done.invoked)} invokes, {len(done.queued)} queued runs, "
            f"{len(done.streamed)} streams, {done.retries} retries; longest run {longest:.1f} s\n"
        )


def unfinished(client: httpx.Client) -> list[str]:
    """Runs that are not over."""
    return [
        run["run_id"]
        for status in ("pending", "running")
        for run in client.get("/v1/runs", params={"status": status}).json()["data"]["runs"]
    ]


def check(stack: Stack, client: httpx.Client, done: Done) -> float:
    """Everything that was acknowledged is there, once; how long the longest run took."""
    assert min(len(done.invoked), len(done.queued), len(done.streamed)) >= 4, "too little was done to tell"
    for key, (body, content) in done.invoked.items():
        repeated = client.post("/v1/graph/invoke", json=body, headers={"idempotency-key": key})
        assert repeated.content == content
        whole(client, body["config"]["thread_id"], body["messages"][0]["content"][0]["text"])
    longest = 0.0
    for thread, run_id in [*done.queued.items(), *done.streamed]:
        run = client.get(f"/v1/threads/{thread}/runs/{run_id}").json()["data"]["run"]
        assert run["status"] == "success", run
        longest = max(longest, seconds(run))
        whole(client, thread, thread.replace("-", " "))
    for (thread, run_id), lines in done.streamed.items():
        assert [json.loads(line)["seq"] for line in lines] == list(range(len(lines)))
        assert client.get(f"/v1/threads/{thread}/runs/{run_id}/stream").text.splitlines() == lines
        told = [json.loads(line)["message"] for line in lines if json.loads(line)["event"] == "message"]
        assert [message["content"][0]["text"] for message in told] == [
            thread.replace("-", " "),
            *answers(thread),
        ]
    finished_once(stack, client)
    return longest


def answers(thread: str) -> list[str]:
    return ["one", "two", f"done: {thread.replace('-', ' ')}"]


def whole(client: httpx.Client, thread: str, said: str) -> None:
    """What was said once, each answer once, and versions without a gap."""
    messages = client.get(f"/v1/threads/{thread}/messages").json()["data"]["messages"]
    texts = [message["content"][0]["text"] for message in messages]
    assert texts == [said, "one", "two", f"done: {said}"], thread
    versions = [
        entry["seq"] for entry in client.get(f"/v1/threads/{thread}/history").json()["data"]["checkpoints"]
    ]
    assert versions == list(range(len(versions), 0, -1))


def finished_once(stack: Stack, client: httpx.Client) -> None:
    """No step ran again once a later one had begun."""
    notes: dict[str, list[str]] = {}
    for line in stack.notes.read_text().splitlines():
        run_id, step = line.split()
        notes.setdefault(run_id, []).append(step)
    for run_id, steps in notes.items():
        assert [STEPS.index(step) for step in steps] == sorted(STEPS.index(step) for step in steps), run_id


def seconds(run: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    return (ended - began).total_seconds()
