"""What PostgreSQL and Valkey have in common: start, stop, and the rough handling that fault tests need."""

import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from agentflow_embedded.errors import (
    BinariesMissingError,
    DiskFullError,
    PortTakenError,
    ServerFailedError,
    StateFolderError,
)
from agentflow_embedded.guard import Orders
from agentflow_embedded.home import Home
from agentflow_embedded.lock import StateLock
from agentflow_embedded.ports import candidates
from agentflow_embedded.processes import descendants, signal_all

_READY_TIMEOUT_S = 60.0
_POLL_S = 0.01
_STOP_TIMEOUT_S = 40.0
_LOG_LIMIT_BYTES = 8 * 2**20


class EmbeddedServer(ABC):
    """A server on 127.0.0.1 whose files live in a state folder and stay there between runs.

    Use it as a context manager, or call `start` and `stop`. The server also stops, in order, when the process
    that started it ends in any way. One object may be started again after `stop` or `kill`, on the same port.
    """

    name: str
    title: str
    stop_signal: signal.Signals

    def __init__(self, state_dir: Path | str, *, port: int | None = None) -> None:
        """Prepare a server that is not started.

        Args:
            state_dir: Made when missing. Each kind of server uses a folder of its own inside.
            port: None takes the last run's port when it is free, else any free one.
        """
        self._state_dir = Path(state_dir)
        self._asked_port = port
        self._port: int | None = None
        self._pid: int | None = None
        self._guard: subprocess.Popen[str] | None = None
        self._paused: list[int] = []

    # --- the life of a server -------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the server and return when it answers: about 0.1 s, 1 s more on an empty state folder.

        Raises:
            AlreadyRunningError: Another process runs it on this state folder.
            PortTakenError: The port asked for is taken.
            BinariesMissingError: No server program for this machine.
            DiskFullError: No room for its files.
            StateFolderError: The folder belongs to someone else.
            ServerFailedError: Anything else; the error carries the end of the log.
        """
        if self.alive:
            return self
        if self._guard is not None:
            self._wait_for_guard()  # of a server that ended by itself: our ends of its pipes are closed
        self.home = Home(self._state_dir, self.name)
        lock = self._locked()
        try:
            self.prepare()
            self._launch_on_a_port(lock)
        except OSError as error:
            raise self._explain(error) from error
        finally:
            # From here on the guard alone holds the lock: it goes when the server is gone.
            lock.release()
        return self

    def stop(self) -> None:
        """Shut down in order and wait for the end; harmless when it is not running."""
        if self._guard is None:
            return
        self.resume()
        assert self._guard.stdin is not None  # noqa: S101  it was opened with a pipe
        self._guard.stdin.close()
        self._wait_for_guard()

    def restart(self) -> None:
        """Stop and start again on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the server and its children at once with SIGKILL, as a crash would."""
        if self._guard is None:
            return
        # Frozen first, so that it can neither start children nor tidy up behind those that die.
        self.pause()
        signal_all(self._paused, signal.SIGKILL)
        self._wait_for_guard()

    def pause(self) -> None:
        """Freeze the server and its children (SIGSTOP): connections stay open and nothing answers."""
        signal_all([self.pid], signal.SIGSTOP)
        self._paused = [self.pid, *descendants(self.pid)]
        signal_all(self._paused, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on; harmless when it is not paused."""
        signal_all(self._paused, signal.SIGCONT)
        self._paused = []

    # --- facts ----------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the server process is there."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def pid(self) -> int:
        """The server's main process."""
        return _started(self._pid)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return _started(self._port)

    # --- what each server brings ----------------------------------------------------------------------

    @abstractmethod
    def prepare(self) -> None:
        """Make what must be there before the first start, and tidy up behind a crash."""

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """Return the words that start the server."""

    @abstractmethod
    def is_ready(self, pid: int, said: str) -> bool:
        """Say whether the server takes connections, given what it logged since its start."""

    # --- how ------------------------------------------------------------------------------------------

    def _locked(self) -> StateLock:
        lock = StateLock(self.home.folder / "lock", self.title)
        try:
            lock.acquire()
        except PermissionError as error:
            raise self._explain(error) from error
        return lock

    def _launch_on_a_port(self, lock: StateLock) -> None:
        remembered = self.home.folder / "port"
        asked = self._asked_port if self._port is None else self._port
        refused: ServerFailedError | None = None
        port = 0
        for port in candidates(asked, remembered):
            try:
                self._launch(port, lock)
            except ServerFailedError as error:
                if "Address already in use" not in error.log:
                    raise
                refused = error
            else:
                self._port = port
                remembered.write_text(str(port))
                return
        raise PortTakenError(self.title, port) from refused

    def _launch(self, port: int, lock: StateLock) -> None:
        """Start guard and server; return when the server is ready."""
        account = self.home.account
        orders = Orders(
            command=self.command(port),
            folder=str(self.home.data),
            uid=account.uid if account.switches else None,
            gid=account.gid if account.switches else None,
            stop_signal=self.stop_signal,
        )
        with self.home.log.open("ab") as log:
            if log.tell() > _LOG_LIMIT_BYTES:
                log.truncate(0)
            begin = self.home.log.stat().st_size
            self._guard = subprocess.Popen(
                [sys.executable, "-P", "-m", "agentflow_embedded.guard", orders.encode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=[lock.fd],
                start_new_session=True,
            )
        try:
            self._pid = self._read_pid(self._guard)
            self._wait_until_ready(self._guard, self._pid, begin)
        except BaseException:  # also on Ctrl-C: a server that nobody will use must not stay
            self.stop()
            raise

    def _read_pid(self, guard: "subprocess.Popen[str]") -> int:
        assert guard.stdout is not None  # noqa: S101  it was opened with a pipe
        kind, _, rest = guard.stdout.readline().strip().partition(" ")
        if kind != "pid":
            raise ServerFailedError(
                self.title, f"could not be started ({rest})", self._said(0), self.home.log
            )
        return int(rest)

    def _wait_until_ready(self, guard: "subprocess.Popen[str]", pid: int, begin: int) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not self.is_ready(pid, self._said(begin)):
            if guard.poll() is not None:
                raise self._failed("ended while starting", self._said(begin))
            if time.monotonic() > deadline:
                raise self._failed(f"was not ready after {_READY_TIMEOUT_S:.0f} s", self._said(begin))
            time.sleep(_POLL_S)

    def _said(self, begin: int) -> str:
        """Return what was logged from a byte on."""
        with self.home.log.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def _failed(self, reason: str, said: str) -> DiskFullError | ServerFailedError:
        """Return the error that the log speaks of."""
        if "No space left on device" in said:
            return DiskFullError(self.title, self.home.folder, shutil.disk_usage(self.home.folder).free)
        return ServerFailedError(self.title, reason, said[-2000:].strip(), self.home.log)

    def _explain(self, error: OSError) -> DiskFullError | StateFolderError | BinariesMissingError:
        """Turn what the system refused into something that says what to do."""
        text = str(error)
        if "No space left" in text:
            return DiskFullError(self.title, self.home.folder, shutil.disk_usage(self.home.folder).free)
        if isinstance(error, PermissionError):
            return StateFolderError(self.home.folder, text)
        raise error

    def _wait_for_guard(self) -> None:
        guard = self._guard
        assert guard is not None and guard.stdout is not None and guard.stdin is not None  # noqa: S101, PT018
        guard.wait(_STOP_TIMEOUT_S)
        guard.stdout.close()
        guard.stdin.close()
        self._guard, self._pid, self._paused = None, None, []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _started(fact: int | None) -> int:
    if fact is None:
        raise RuntimeError("the server has not been started")
    return fact
