"""`agentflow-cloud` as an operator calls it."""

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from typing import IO, Any

from tests.support.api import Api


class Operator:
    """Runs the command against a service that the environment names."""

    def __init__(self, api: Api, **environment: str) -> None:
        self._environment = {
            **os.environ,
            "AGENTFLOW_URL": api.base_url,
            "AGENTFLOW_OPERATOR_TOKEN": api.operator_token,
            **environment,
        }

    def run(self, *words: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        """The command's output and exit code."""
        return subprocess.run(
            [sys.executable, "-m", "agentflow_cloud", *words],
            env={name: value for name, value in self._environment.items() if value},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )

    def text(self, *words: str) -> str:
        """What people read of a command that succeeds."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def json(self, *words: str) -> Any:
        """What scripts read of a command that succeeds."""
        return json.loads(self.text(*words, "--json"))

    def refused(self, *words: str, code: int = 1) -> str:
        """What a command says that fails with this code, without a traceback."""
        done = self.run(*words)
        assert done.returncode == code, done
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.stderr

    def on_a_terminal(self, *words: str, columns: int = 120) -> str:
        """What somebody sees of a command that succeeds, who looks at a terminal of that width."""
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb") as screen:
            termios.tcsetwinsize(theirs, (50, columns))
            running = subprocess.Popen(
                [sys.executable, "-m", "agentflow_cloud", *words],
                env=_of_a_terminal(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=subprocess.PIPE,
                text=True,
            )
            os.close(theirs)
            seen = b"".join(_read_while_open(screen.fileno()))
            _, told = running.communicate(timeout=120)
        assert running.returncode == 0, told
        return seen.decode()


def _of_a_terminal(environment: Mapping[str, str]) -> dict[str, str]:
    """The terminal itself says how wide it is, and that it has colours."""
    others = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    kept = {name: value for name, value in environment.items() if value and name not in others}
    return {**kept, "TERM": "xterm-256color"}


def _read_while_open(descriptor: int) -> Iterator[bytes]:
    """A terminal whose last writer is gone is an error to Linux."""
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:
            return
        if not piece:
            return
        yield piece
