"""What a new user does: start it, paste the conversation, stop it, start it again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api import free_port

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 120.0


class Stack:
    """`agentflow-cloud run`, as `make run` runs it."""

    def __init__(self, state_dir: Path, port: int, *words: str) -> None:
        self.state_dir = state_dir
        self.output = state_dir.parent / "output.txt"
        self.errors = state_dir.parent / "errors.txt" if words else self.output
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AGENTFLOW_", "PYTEST_"))
        }
        environment |= {"AGENTFLOW_STATE_DIR": str(state_dir), "AGENTFLOW_PORT": str(port)}
        with self.output.open("w") as stream, self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agentflow_cloud", "run", *words],
                cwd=ROOT,
                env=environment,
                stdout=stream,
                stderr=errors if words else subprocess.STDOUT,
            )

    def banner(self) -> str:
        """What it prints once it is up."""
        return self.told("for programs:")

    def told(self, words: str) -> str:
        """What it printed, once that holds these words."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            text = self.output.read_text()
            if words in text:
                return text
            assert self.process.poll() is None, text
            time.sleep(0.05)
        raise AssertionError(self.output.read_text())

    def dev(self) -> dict[str, str]:
        """Its dev.json."""
        found: dict[str, str] = json.loads((self.state_dir / "dev.json").read_text())
        return found

    def descendants(self) -> list[int]:
        """Every process below it, and the servers whose files are in its folder."""
        below, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            below += [int(child) for child in children]
            todo += [int(child) for child in children]
        return below

    def end(self, number: int) -> int:
        """Signal it; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(90)


@contextmanager
def running(state_dir: Path, port: int) -> Iterator[Stack]:
    stack = Stack(state_dir, port)
    try:
        yield stack
    finally:
        if stack.process.poll() is None:
            stack.end(signal.SIGTERM)


def pasted(banner: str) -> list[str]:
    """What the printed curl lines answer, run by a shell."""
    lines = re.findall(r"^curl .*$", banner, re.MULTILINE)
    assert len(lines) == 2
    texts = []
    for line in lines:
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        answer: Any = json.loads(done.stdout)
        texts.append(answer["data"]["messages"][-1]["content"][0]["text"])
    return texts


def readme_script(state_dir: Path) -> str:
    """What the README's own shell block prints."""
    block = re.search(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    environment = {**os.environ, "AGENTFLOW_STATE_DIR": str(state_dir)}
    done = subprocess.run(
        ["bash", "-c", block[1]], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_the_pasted_conversation_survives_a_restart(state_dir: Path) -> None:
    """The name is remembered after Ctrl-C and a second start; nothing is left running; dev.json holds."""
    port = free_port()
    folder = state_dir / "stack"
    with running(folder, port) as stack:
        assert "Alex" in pasted(stack.banner())[1]
        first = stack.dev()
        assert first.keys() == {
            "base_url", "operator_token", "tenant", "api_key", "database_url", "redis_url",
        }  # fmt: skip
        assert (folder / "dev.json").stat().st_mode & 0o077 == 0
        below = stack.descendants()
        assert len(below) >= 4
        assert stack.end(signal.SIGINT) == 0
        assert gone(below)
    with running(folder, port) as stack:
        banner = stack.banner()
        last = re.findall(r"^curl .*$", banner, re.MULTILINE)[-1]
        done = subprocess.run(["bash", "-c", last], capture_output=True, text=True, check=True)
        assert "Your name is Alex." in done.stdout
        again = stack.dev()
        assert (again["api_key"], again["operator_token"]) == (first["api_key"], first["operator_token"])
        guide = subprocess.run(
            [sys.executable, "-m", "tests.support.guide_program", again["database_url"], again["redis_url"],
             "user-42", "My name is Alex.", "What's my name?"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert guide.stdout.splitlines() == ["You are Alex."] * 2
        assert "Your name is Alex." in readme_script(folder)
        below = stack.descendants()
        stack.process.kill()
        stack.process.wait()
        assert gone(below), "the servers outlived a killed stack"
    with running(folder, port) as stack:
        assert "Alex" in pasted(stack.banner())[1]
        assert stack.end(signal.SIGTERM) == 0


@pytest.mark.slow
def test_run_as_scripts_read_it(state_dir: Path) -> None:
    """One line of JSON on stdout once it serves, with where it does; what people read goes to stderr."""
    stack = Stack(state_dir / "stack", free_port(), "--json")
    try:
        told = json.loads(stack.told("\n"))
        assert httpx.get(told["base_url"] + "/health/ready").status_code == 200
        dev = json.loads(Path(told["file"]).read_text())
        assert (told["base_url"], told["tenant"]) == (dev["base_url"], dev["tenant"])
        assert dev["api_key"] not in str(told)
        assert stack.end(signal.SIGINT) == 0
    finally:
        if stack.process.poll() is None:
            stack.end(signal.SIGTERM)
    assert len(stack.output.read_text().splitlines()) == 1
    assert "Starting PostgreSQL" in stack.errors.read_text()


@pytest.mark.slow
def test_a_taken_port_is_told(state_dir: Path) -> None:
    """Which one, and what to set; exit code 1, no traceback."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stack = Stack(state_dir / "stack", taken.getsockname()[1])
        assert stack.process.wait(60) == 1
    said = stack.output.read_text()
    assert "AGENTFLOW_PORT" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_part_that_dies_stops_the_rest(state_dir: Path) -> None:
    """Told by name, exit code 1, nothing left running."""
    with running(state_dir / "stack", free_port()) as stack:
        stack.banner()
        assert httpx.get(stack.dev()["base_url"] + "/ping").status_code == 200
        below = stack.descendants()
        worker = next(
            pid for pid in below if b"agentflow_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        os.kill(worker, signal.SIGKILL)
        assert stack.process.wait(90) == 1
        assert "worker ended" in stack.output.read_text()
        assert gone(below)
