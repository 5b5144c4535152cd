"""What the API and the worker log: JSON, with the ids by which a line is found from an answer or a trace."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import databases
from tests.support.agents import AGENTS
from tests.support.api import Api, running, say
from tests.support.openai_stub import OpenAIStub, Reply
from tests.support.run import ROOT
from tests.support.waiting import soon
from tests.support.worker import running_worker

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-00", "x-request-id": "mine-7"}
GUIDE = ROOT / "docs" / "guide" / "33-logs.md"
HOSTED = {"AGENTFLOW_AGENTS": AGENTS, "PYTHONPATH": str(ROOT)}


def told(log: Path) -> list[dict[str, Any]]:
    """Every line; all of them are objects with these."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message", "process"} <= one.keys() for one in found)
    return found


@pytest.mark.parametrize("mode", ["traces", "metrics"])
def test_a_line_of_a_request(migrated_database_url: str, redis_url: str, tmp_path: Path, mode: str) -> None:
    """Its id as the client has it, its trace, where it failed and how, and none of the words of that."""
    exported = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    api = Api(migrated_database_url, redis_url, AGENTFLOW_TELEMETRY=mode, **exported, **HOSTED)
    api.log_file = tmp_path / "log"
    with running(api):
        tenant = api.tenant()
        with api.client(tenant) as client:
            failed = client.post("/a/quotes/v1/graph/invoke", json=say("Alex"), headers=SENT)
    assert (failed.status_code, failed.headers["x-request-id"]) == (500, "mine-7")
    [line] = [one for one in told(api.log_file) if one.get("request_id") == "mine-7"]
    assert line["trace_id"] == TRACE_ID
    assert len(line["span_id"]) == 16
    assert line["level"] == "WARNING"
    assert line["error"]["type"] == "agentflow.errors.NodeError"
    cause = line["error"]["cause"]
    assert (cause["type"], cause["text"]) == ("builtins.ValueError", "ValueError")
    assert "tests/support/agents.py" in cause["frames"][-1]
    assert cause["frames"][-1].endswith(" quoting")
    assert "Alex" not in json.dumps(line)
    [shown] = re.findall(r"^```json\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert json.loads(shown).keys() == line.keys()
    assert json.loads(shown)["message"] == line["message"]
    assert json.loads(shown)["error"].keys() == line["error"].keys()


def test_what_goes_well_has_no_line(migrated_database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Nor has a model that is asked: whose address, with what stands in it, is nobody's but the agent's."""
    with OpenAIStub() as stub:
        stub.script.append(Reply("Hello."))
        agents = {"AGENTFLOW_AGENTS": "traced=tests.support.traced_agent:graph", "PYTHONPATH": str(ROOT)}
        api = Api(migrated_database_url, redis_url, AGENTFLOW_TEST_MODEL_URL=stub.base_url, **agents)
        api.log_file = tmp_path / "log"
        with running(api), api.client(api.tenant()) as client:
            answer = client.post("/a/traced/v1/graph/invoke", json=say("hi"), headers=SENT)
            assert answer.status_code == 200, answer.text
        assert stub.asked
    assert not [line for line in told(api.log_file) if "request_id" in line]
    assert stub.base_url not in api.log_file.read_text()


def test_a_line_of_a_run_in_the_background(
    migrated_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """It has the trace of the request that asked for the run."""
    api, log = Api(migrated_database_url, redis_url, **HOSTED), tmp_path / "log"
    of_worker = {
        **HOSTED,
        "AGENTFLOW_DATABASE_URL": databases.app_url(migrated_database_url),
        "AGENTFLOW_KEY_PEPPER": api.pepper,
    }
    with (
        running(api),
        log.open("wb") as file,
        running_worker(migrated_database_url, redis_url, file, **of_worker),
        api.client(api.tenant()) as client,
    ):
        made = client.post("/a/quotes/v1/threads/t/runs", json=say("Alex", None), headers=SENT)
        assert made.is_success, made.text
        run_id = made.json()["data"]["run"]["run_id"]
        soon(lambda: _status(client, run_id) == "error", within_s=60)
    [line] = [one for one in told(log) if run_id in one["message"]]
    assert line["trace_id"] == TRACE_ID
    assert line["error"]["cause"]["type"] == "builtins.ValueError"


def _status(client: httpx.Client, run_id: str) -> str:
    found: str = client.get(f"/v1/threads/t/runs/{run_id}").json()["data"]["run"]["status"]
    return found
