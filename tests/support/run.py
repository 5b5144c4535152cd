"""One run of the test suite: its folder, and the servers that all its processes share.

The first pytest process (xdist's controller, or the only one) opens the run and holds it open; the others
find its folder in the environment. Servers are started by the first test that asks for them, in a process of
their own that ends when the first pytest process does, however it ends.
"""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentflow_embedded import remove_state

ROOT = Path(__file__).parents[2]
_VARIABLE = "AGENTFLOW_TEST_RUN_DIR"


@dataclass(frozen=True)
class Servers:
    """Addresses of the shared pair; the role behind `database_url` may create databases."""

    database_url: str
    redis_url: str


class Run:
    """The run that this process belongs to."""

    def __init__(self, folder: Path, opened_here: bool) -> None:
        self.folder = folder
        self._opened_here = opened_here
        # The reading side sees the end of this file when the process that holds it is gone.
        self._alive = os.open(folder / "alive", os.O_RDWR) if opened_here else None

    @classmethod
    def join(cls) -> "Run":
        """Join the run that the environment names, or open a new one."""
        known = os.environ.get(_VARIABLE)
        if known:
            return cls(Path(known), opened_here=False)
        folder = Path(tempfile.mkdtemp(prefix="agentflow-test-"))
        folder.chmod(0o755)  # servers that root starts run as another user
        os.mkfifo(folder / "alive")
        os.environ[_VARIABLE] = str(folder)
        return cls(folder, opened_here=True)

    def leave(self) -> None:
        """End the run if it was opened here: stop the servers, remove the folder."""
        if self._alive is None:
            return
        os.close(self._alive)
        os.environ.pop(_VARIABLE, None)
        with self._locked("servers-alive"):
            pass  # the servers' process holds this lock until they are stopped
        remove_state(self.folder)

    def servers(self) -> Servers:
        """Return the shared servers: those that the environment names, else a pair of our own."""
        database_url = os.environ.get("AGENTFLOW_TEST_DATABASE_URL")
        redis_url = os.environ.get("AGENTFLOW_TEST_REDIS_URL")
        if database_url and redis_url:
            return Servers(database_url, redis_url)
        own = Servers(**json.loads(self.once("servers.json", self._start_servers)))
        return Servers(database_url or own.database_url, redis_url or own.redis_url)

    def once(self, name: str, make: Callable[[], str]) -> str:
        """Return the text that `make` gave to whichever process of the run asked first."""
        with self._locked(f"{name}.lock"):
            path = self.folder / name
            if not path.exists():
                text = make()
                path.write_text(text)
            return path.read_text()

    def new_folder(self) -> Path:
        """Return an empty folder with a short path that every user may enter; it goes with the run."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)
        return folder

    def _start_servers(self) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.shared_servers", str(self.folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        stdout = process.stdout
        assert stdout is not None
        with stdout:
            line = stdout.readline()
        if not line:
            raise RuntimeError(
                f"the shared servers did not start (exit {process.wait()}); see the output above"
            )
        # The process outlives this worker on purpose; telling Popen so keeps it from warning about it.
        process.returncode = 0
        return line

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self.folder / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
