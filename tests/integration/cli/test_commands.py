"""What holds for every command: help with examples that parse, JSON, completion, exit codes."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow_cloud.__main__ import command_parser
from tests.support.api import Api, TenantKey, free_port
from tests.support.command import Operator
from tests.support.waiting import soon

# An example's words end where the shell takes over.
SHELL = ("|", ">", "<")


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Commands that have no commands of their own."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser
    for action in below:
        for one in action.choices.values():
            yield from leaves(one)


COMMANDS = {parser.prog: parser for parser in leaves(command_parser())}


def examples_of(parser: argparse.ArgumentParser) -> list[list[str]]:
    lines = (parser.epilog or "").splitlines()
    assert lines[0] == "examples:", parser.prog
    found = []
    for line in lines[1:]:
        words = shlex.split(line)
        end = next((at for at, word in enumerate(words) if word in SHELL), len(words))
        found.append(words[:end])
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_it_understands(name: str) -> None:
    """Each line of its help is one of its own calls, and --json is known to all."""
    parser = COMMANDS[name]
    examples = examples_of(parser)
    assert examples
    for words in examples:
        assert " ".join(words).startswith(name)
        chosen = command_parser().parse_args([*words[1:], "--json"])
        assert chosen.json is True
    assert len(parser.description or "") > 10


def test_exit_codes_stand_in_the_help(api: Api) -> None:
    """Of the whole and of each group."""
    operator = Operator(api)
    for words in ((), ("tenant",), ("thread",), ("runs",)):
        assert "exit codes: 0 done" in operator.text(*words, "--help")


def test_nobody_there_is_another_code_than_a_refusal(api: Api) -> None:
    """3 may be tried again, 1 may not."""
    nobody = Operator(api, AGENTFLOW_URL=f"http://127.0.0.1:{free_port()}")
    assert "No answer" in nobody.refused("health", code=3)
    assert "no such tenant" in Operator(api).refused("usage", "missing", code=1)


def completed(api: Api, line: str, **environment: str) -> list[str]:
    """What bash would be offered behind a line, asked in the way that its script asks."""
    done = subprocess.run(
        ["bash", "-c", 'exec 8>"$OUT"; agentflow-cloud'],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AGENTFLOW_URL": api.base_url,
            "AGENTFLOW_OPERATOR_TOKEN": api.operator_token,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
            "OUT": "/dev/stdout",
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [word.strip() for word in done.stdout.split("\n") if word.strip()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(api: Api, shell: str) -> None:
    """A script that names the command."""
    operator = Operator(api)
    script = operator.text("completion", shell)
    assert "agentflow-cloud" in script
    assert operator.json("completion", shell)["script"].strip() == script.strip()


def test_bash_takes_the_script(api: Api, tmp_path: Path) -> None:
    """It is no error to a real shell, and the command is completed by it from then on."""
    file = tmp_path / "completion"
    file.write_text(Operator(api).text("completion", "bash"))
    done = subprocess.run(
        ["bash", "-c", f"set -eu; source {file}; complete -p agentflow-cloud"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("agentflow-cloud")


def test_words_and_names_are_completed(api: Api, tenant: TenantKey) -> None:
    """Commands, options, values, and the tenants, keys and threads that the service knows; else nothing."""
    assert "tenant" in completed(api, "agentflow-cloud ten")
    assert "--grace-s" in completed(api, "agentflow-cloud tenant offboard x --g")
    assert completed(api, "agentflow-cloud completion f") == ["fish"]
    slug = tenant.tenant.slug
    assert completed(api, f"agentflow-cloud tenant show {slug[:-2]}") == [slug]
    key_id = Operator(api).json("key", "list", slug)[0]["key_id"]
    assert key_id in completed(api, f"agentflow-cloud key show {slug} ")
    with api.client(tenant) as client:
        body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
        body["config"] = {"thread_id": "to-complete"}  # type: ignore[assignment]
        assert client.post("/v1/graph/invoke", json=body).status_code == 200
    of_tenant = {"AGENTFLOW_API_KEY": tenant.key}
    assert completed(api, "agentflow-cloud thread show to-", **of_tenant) == ["to-complete"]
    nobody = {"AGENTFLOW_URL": f"http://127.0.0.1:{free_port()}"}
    assert completed(api, "agentflow-cloud tenant show a", **nobody) == []


def test_health_as_scripts_read_it(api: Api) -> None:
    """0 while all of it is there; with the operator's token all that the console's page shows."""
    public = Operator(api, AGENTFLOW_OPERATOR_TOKEN="")
    assert public.json("health") == {"postgres": "ok", "redis": "ok", "quotas": "ok"}
    assert "postgres" in public.text("health")
    operator = Operator(api)
    with api.operator() as client:
        expected = client.get("/v1/admin/health").json()["data"].keys()
        soon(lambda: client.get("/v1/admin/health").json()["data"]["findings"] is not None, within_s=60)
        levels = {one["level"] for one in client.get("/v1/admin/health").json()["data"]["findings"]}
    done = operator.run("health", "--json")
    found = json.loads(done.stdout)
    assert found.keys() == expected
    assert {found[name]["state"] for name in ("postgres", "redis", "quotas")} == {"ok"}
    assert done.returncode == int("error" in levels)
    told = operator.run("health").stdout
    assert "runs waiting" in told
    for finding in found["findings"]:
        assert finding["check"] in told
    assert "operator's token" in Operator(api, AGENTFLOW_OPERATOR_TOKEN="x" * 40).refused("health")


def test_the_audit_log(api: Api, tenant: TenantKey) -> None:
    """Of one tenant, newest first, as many as asked for."""
    operator, slug = Operator(api), tenant.tenant.slug
    operator.text("tenant", "suspend", slug)
    operator.text("tenant", "resume", slug)
    entries = operator.json("audit", "--tenant", slug, "--most", "2")
    assert [entry["action"] for entry in entries] == ["tenant.resume", "tenant.suspend"]
    table = operator.text("audit", "--tenant", slug, "--most", "1").splitlines()
    assert (table[0].split()[:3], len(table)) == (["AT", "ACTOR", "ACTION"], 2)
    assert json.dumps(entries).count(tenant.key) == 0
