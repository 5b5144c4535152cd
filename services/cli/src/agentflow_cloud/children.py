"""The stack's own processes: started, watched, and ended together."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping

# Longer than a child takes for itself, or it would be killed in the middle of stopping its own.
_STOP_WITHIN_S = 40.0
_PR_SET_PDEATHSIG = 1


class Children:
    """Child processes that never outlive this one."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, module: str, environment: Mapping[str, str]) -> None:
        """Run a Python module as a child.

        Args:
            name: What to call it in messages.
            module: As in `python -m module`.
            environment: Added to this process's own.
        """
        self._running[name] = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**os.environ, **environment},
            # Ctrl-C goes to the whole terminal; the children are told by this process, in order.
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one prctl call
        )

    def ended(self) -> tuple[str, int] | None:
        """A child that is no longer running, with its exit code."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                return name, code
        return None

    def stop(self) -> None:
        """Ask every child to end, the last started first, and wait; whoever does not is killed."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self._running.values()):
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


def _end_with_parent() -> None:
    """In the child, before it starts: have the kernel end it when its parent dies in any way."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
