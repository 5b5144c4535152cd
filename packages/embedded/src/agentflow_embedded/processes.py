"""What the system says about processes: who is alive, since when, and whose children they are."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def start_time(pid: int) -> str | None:
    """Return a mark that tells this process from a later one with the same pid; None when it is gone.

    Systems without /proc know no such mark, so there any living process with the pid answers "".
    """
    fields = _stat(pid)
    if fields is not None:
        return None if fields[0] == "Z" else fields[19]
    if _PROC.joinpath("self").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def command_line(pid: int) -> list[str]:
    """Return the words a process was started with, or nothing when they cannot be seen."""
    try:
        words = _PROC.joinpath(str(pid), "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return []
    # A server that renames itself leaves one text with spaces instead of words ended by NUL.
    return [word for word in words.replace("\0", " ").split(" ") if word]


def descendants(pid: int) -> list[int]:
    """Return the pids below a process, parents before their children."""
    below: dict[int, list[int]] = {}
    for child, parent in _parents():
        below.setdefault(parent, []).append(child)
    found, queue = [], [pid]
    while queue:
        children = below.get(queue.pop(), [])
        found += children
        queue += children
    return found


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _parents() -> list[tuple[int, int]]:
    """Return (pid, parent's pid) of every process."""
    if _PROC.joinpath("self").exists():
        pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
        return [(pid, int(fields[1])) for pid in pids if (fields := _stat(pid)) is not None]
    listed = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    return [(int(pid), int(parent)) for pid, parent in map(str.split, listed.stdout.splitlines())]


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name, which may itself hold spaces and brackets."""
    try:
        return _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
