"""Free ports on the loopback."""

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

# A free port can be lost to someone else before the server binds it; more losses in a row mean trouble.
_TRIES = 5


def candidates(asked: int | None, remembered: Path) -> Iterator[int]:
    """Yield ports to try: the one asked for alone, else the last run's, then free ones."""
    if asked is not None:
        yield asked
        return
    text = remembered.read_text() if remembered.exists() else ""
    if text.isdigit() and is_free(int(text)):
        yield int(text)
    for _ in itertools.repeat(None, _TRIES):
        yield free_port()


def free_port() -> int:
    """Return a port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Say whether a server could listen on a port now."""
    with socket.socket() as probe:
        # As servers do: connections of the last run that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
