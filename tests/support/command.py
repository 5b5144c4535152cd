"""`agentflow-cloud` as an operator calls it."""

import json
import os
import subprocess
import sys
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
