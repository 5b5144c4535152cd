"""The guard: a small process between starter and server that ends the server when its starter is gone.

The starter holds the writing end of the guard's standard input. However the starter ends (return, SIGTERM,
SIGKILL), the kernel closes that end, and the guard asks the server to shut down in order. If the guard
itself is killed, the kernel signals the server, where it can (Linux). The guard is not in the starter's
session, so Ctrl-C in a terminal reaches the starter alone and servers stop in the order the starter chooses.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from agentflow_embedded.processes import descendants, signal_all

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Orders:
    """What a guard is told to run and how to end it. Holds no secrets: any user can see a command line."""

    command: list[str]
    folder: str
    uid: int | None
    gid: int | None
    stop_signal: int
    stop_timeout_s: float = 20.0

    def encode(self) -> str:
        """Return the orders as one word for the command line."""
        return json.dumps(asdict(self))


def main() -> None:
    """Run one server until it exits or the starter is gone. Logs go where standard error goes."""
    orders = Orders(**json.loads(sys.argv[1]))
    wake = _wake_on(signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = _start(orders)
    except (OSError, subprocess.SubprocessError) as error:
        _tell(f"error {error}")
        sys.exit(1)
    _tell(f"pid {server.pid}")
    _wait_for_the_end(server, wake)
    if server.poll() is None:
        _stop(server, orders)
    code = server.wait()
    sys.exit(code if code >= 0 else 128 - code)


def _start(orders: Orders) -> subprocess.Popen[bytes]:
    """Start the server as its account, with every signal as it expects it."""
    return subprocess.Popen(
        orders.command,
        cwd=orders.folder,
        user=orders.uid,
        group=orders.gid,
        extra_groups=[] if orders.uid is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
        start_new_session=True,
        umask=0o077,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        preexec_fn=_die_with_me(orders.stop_signal),  # noqa: PLW1509  the guard has one thread
    )


def _die_with_me(number: int) -> Callable[[], None]:
    """Return what the child does before exec: undo our signal settings and follow us if we are killed.

    It runs after the change of user, which would clear the request.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    guard = os.getpid()

    def prepare() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
            if os.getppid() != guard:
                os._exit(1)

    return prepare


def _wake_on(*numbers: signal.Signals) -> int:
    """Turn signals into bytes on a pipe; return its reading end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return reading


def _wait_for_the_end(server: subprocess.Popen[bytes], wake: int) -> None:
    """Return when the server has exited, the starter is gone, or someone asked the guard to end."""
    starter = sys.stdin.fileno()
    while server.poll() is None:
        ready, _, _ = select.select([starter, wake], [], [])
        if starter in ready and not os.read(starter, 100):
            return
        if wake in ready and set(os.read(wake, 100)) & {signal.SIGTERM, signal.SIGINT}:
            return


def _stop(server: subprocess.Popen[bytes], orders: Orders) -> None:
    """End the server in order; by force when it does not come to an end."""
    # A paused server would not hear the request.
    signal_all([*descendants(server.pid), server.pid], signal.SIGCONT)
    server.send_signal(orders.stop_signal)
    with suppress(subprocess.TimeoutExpired):
        server.wait(orders.stop_timeout_s)
        return
    signal_all([*descendants(server.pid), server.pid], signal.SIGKILL)


def _tell(line: str) -> None:
    """Tell the starter, who may be gone already."""
    with suppress(BrokenPipeError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    # A flush at exit must not fail on a starter that went away.
    with suppress(OSError):
        os.dup2(os.open(Path(os.devnull), os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
