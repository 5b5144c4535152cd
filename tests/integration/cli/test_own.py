"""A tenant's threads, runs and usage by its API key, from the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.api import Api, TenantKey, say
from tests.support.command import Operator


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Iterator[httpx.Client]:
    with api.client(tenant) as client:
        yield client


@pytest.fixture
def own(api: Api, tenant: TenantKey) -> Operator:
    """The command as the tenant calls it: with its key, and without the operator's token."""
    return Operator(api, AGENTFLOW_API_KEY=tenant.key, AGENTFLOW_OPERATOR_TOKEN="")


def talk(client: httpx.Client, *texts: str, thread: str = "user-42") -> None:
    for text in texts:
        assert client.post("/a/echo/v1/graph/invoke", json=say(text, thread)).status_code == 200


def test_threads_are_listed_and_searched(own: Operator, client: httpx.Client) -> None:
    """The last used first, as many as asked for, those in which something was said."""
    for thread in ("one", "two", "three"):
        talk(client, f"about {thread}", thread=thread)
    assert [one["thread_id"] for one in own.json("thread", "list")] == ["three", "two", "one"]
    oldest = own.json("thread", "list", "--oldest-first", "--most", "2")
    assert [one["thread_id"] for one in oldest] == ["one", "two"]
    assert [one["thread_id"] for one in own.json("thread", "list", "--search", "about two")] == ["two"]
    assert own.json("thread", "list", "--status", "running") == []
    assert own.json("thread", "list", "--user", "nobody") == []
    rows = own.text("thread", "list").splitlines()
    assert rows[0].split()[:2] == ["THREAD_ID", "STATUS"]
    assert [row.split()[0] for row in rows[1:]] == ["three", "two", "one"]
    assert own.json("thread", "show", "two")["status"] == "idle"


def test_a_threads_past(own: Operator, client: httpx.Client) -> None:
    """Its messages, its versions, the state at one of them, and what a version changed."""
    talk(client, "first", "second")
    said = own.json("thread", "messages", "user-42")
    assert [message["role"] for message in said] == ["user", "assistant"] * 2
    assert own.json("thread", "messages", "user-42", "--most", "1") == said[:1]
    assert "second" in own.text("thread", "messages", "user-42")
    history = own.json("thread", "history", "user-42")
    assert [one["seq"] for one in history] == sorted((one["seq"] for one in history), reverse=True)
    assert own.json("thread", "history", "user-42", "--most", "1") == history[:1]
    now = own.json("thread", "state", "user-42")
    assert len(now["context"]) == 4
    then = own.json("thread", "state", "user-42", "--at", "1")
    assert [message["role"] for message in then["context"]] == ["user"]
    assert "first" in own.text("thread", "state", "user-42", "--at", "1")
    found = own.json("thread", "diff", "user-42", str(history[0]["seq"]), "--since", "1")
    came = [one for one in found if one["what"].startswith("message")]
    assert [one["before"] for one in came] == [None] * 3
    assert came[1]["after"] == "user: second"
    whole = own.json("thread", "diff", "user-42", "1")
    assert whole[0]["after"] == "user: first"
    assert "user: first" in own.text("thread", "diff", "user-42", "1")


def test_what_a_run_did(own: Operator, client: httpx.Client) -> None:
    """Its spans one below the other, in the run's time."""
    talk(client, "hi")
    run = own.json("runs", "trace", "user-42")
    assert [span["name"] for span in run["spans"]] == ["invoke_agent echo", "node MAIN"]
    lines = own.text("runs", "trace", "user-42", run["run_id"]).splitlines()
    assert "completed" in "\n".join(lines)
    at = next(number for number, line in enumerate(lines) if line.startswith("SPAN"))
    assert lines[at + 1].startswith("invoke_agent echo")
    assert lines[at + 1].rstrip().endswith("=" * 30)
    assert lines[at + 2].startswith("  node MAIN")
    assert "no such run" in own.refused("runs", "trace", "user-42", "missing")


def test_runs_are_listed_watched_and_cancelled(own: Operator, client: httpx.Client) -> None:
    """One that waits in the queue is cancelled: whoever waits for it is told by the exit code."""
    asked = client.post("/v1/threads/user-42/runs", json={**say("hi"), "config": {}, "after_s": 3600})
    run_id = asked.json()["data"]["run"]["run_id"]
    assert [run["run_id"] for run in own.json("runs", "list", "--status", "pending")] == [run_id]
    assert [run["run_id"] for run in own.json("runs", "list", "--thread", "user-42")] == [run_id]
    assert own.json("runs", "show", "user-42", run_id)["status"] == "pending"
    assert own.json("runs", "cancel", "user-42", run_id)["status"] == "cancelled"
    watched = own.run("runs", "watch", "user-42", run_id)
    assert (watched.returncode, watched.stdout.splitlines()[0]) == (4, "cancelled, 0 chunks")
    assert "cancelled" in watched.stderr


def test_usage_beside_quotas(api: Api, own: Operator, client: httpx.Client, tenant: TenantKey) -> None:
    """The tenant's and the operator's are the same; quotas stand with their parts; all are listed."""
    talk(client, "hi")
    operator, slug = Operator(api), tenant.tenant.slug
    operator.text("tenant", "update", slug, "--limit", "threads=10", "--limit", "tokens_per_day=1000")
    mine, theirs = own.json("usage", "--own"), operator.json("usage", slug)
    assert mine["total"] == theirs["total"]
    assert theirs["total"]["runs"] == 1
    rows = [line.split() for line in operator.text("usage", slug, "--by", "hour").splitlines()]
    assert rows[0][:2] == ["START", "RUNS"]
    assert ["threads", "1", "10", "10%"] in rows
    assert ["tokens_per_day", "0", "1000", "0%"] in rows
    shown = operator.json("tenant", "show", slug)["usage"]
    assert (shown["this_month"]["runs"], shown["kept"]["threads"]) == (1, 1)
    assert "QUOTA" in operator.text("tenant", "show", slug)
    of_all = operator.json("usage", "--from", "2020-01-01", "--to", "2020-02-01")
    assert {one["runs"] for one in of_all if one["slug"] == slug} == {0}
    assert "before to" in operator.refused("usage", slug, "--from", "2030-01-01", "--to", "2020-01-01")
    for words in (("usage", slug, "--own"), ("usage", "--by", "hour")):
        operator.refused(*words, code=2)


def test_a_key_sees_what_it_may(api: Api, own: Operator, client: httpx.Client) -> None:
    """Another tenant's thread is none; a key without the scope is refused; no key is told of."""
    talk(client, "hi")
    other = Operator(api, AGENTFLOW_API_KEY=api.tenant().key)
    assert "no such thread" in other.refused("thread", "show", "user-42")
    assert other.json("thread", "list") == []
    powerless = Operator(api, AGENTFLOW_API_KEY=api.tenant(scopes=["graph:invoke"]).key)
    assert "threads:read" in powerless.refused("thread", "list")
    assert "AGENTFLOW_API_KEY" in Operator(api).refused("thread", "list")


def test_a_key_beside_dev_json(api: Api, client: httpx.Client, tenant: TenantKey, state_dir: Path) -> None:
    """The address is the stack's, the key the one that is said; without one, the stack's own."""
    talk(client, "hi")
    (state_dir / "dev.json").write_text(json.dumps({"base_url": api.base_url}))
    places = {"AGENTFLOW_URL": "", "AGENTFLOW_OPERATOR_TOKEN": "", "AGENTFLOW_STATE_DIR": str(state_dir)}
    said = Operator(api, AGENTFLOW_API_KEY=tenant.key, **places)
    assert said.json("thread", "show", "user-42")["status"] == "idle"
    own = Operator(api, AGENTFLOW_API_KEY="", **places)
    assert "AGENTFLOW_API_KEY" in own.refused("thread", "list")
    (state_dir / "dev.json").write_text(json.dumps({"base_url": api.base_url, "api_key": tenant.key}))
    assert own.json("thread", "show", "user-42")["status"] == "idle"


def test_what_a_user_wrote_cannot_steer_a_terminal(own: Operator, client: httpx.Client) -> None:
    """Neither its escape sequences nor what looks like markup is more than text."""
    talk(client, "\x1b[31mred\x1b]0;title\x07 [bold]x[/bold]")
    for shown in (
        own.text("thread", "messages", "user-42"),
        own.on_a_terminal("thread", "messages", "user-42"),
    ):
        assert "\x1b[31mred" not in shown
        assert "\x1b]0;" not in shown
        assert "\x07" not in shown
        assert "[bold]x[/bold]" in shown


@pytest.mark.parametrize("columns", [60, 160])
def test_tables_fit_a_terminal(own: Operator, client: httpx.Client, columns: int) -> None:
    """Drawn, and within its width; nothing of it is cut off."""
    talk(client, "hi", thread="a-thread-with-a-long-name-0123456789")
    seen = own.on_a_terminal("thread", "list", columns=columns)
    lines = [line for line in seen.replace("\r", "").split("\n") if "\x1b" not in line]
    assert max(map(len, lines)) <= columns
    assert "…" not in seen
    assert "─" in seen
    assert "user-42" not in seen
