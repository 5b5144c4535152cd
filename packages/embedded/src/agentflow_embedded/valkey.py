"""A real Valkey for development and tests."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from agentflow_embedded.binaries import valkey_server
from agentflow_embedded.server import EmbeddedServer

_READY = "Ready to accept connections tcp"


class EmbeddedValkey(EmbeddedServer):
    """Valkey in memory only, with a generated password that is kept in the state folder like PostgreSQL's.

    Nothing is written to disk: what must survive belongs in PostgreSQL, and a restarted cache starts empty.
    """

    name = "valkey"
    title = "Valkey"
    stop_signal = signal.SIGTERM

    def __init__(
        self,
        state_dir: Path | str,
        *,
        port: int | None = None,
        maxmemory: str = "256mb",
        policy: str = "noeviction",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a server that is not started.

        Args:
            state_dir: Its files go to `state_dir/valkey`.
            port: None takes the last run's port when it is free, else any free one.
            maxmemory: As in its configuration file.
            policy: `noeviction` by default, since locks and quotas live here as well as the cache.
            settings: More lines of its configuration file, by name.
        """
        super().__init__(state_dir, port=port)
        self._settings = {
            "maxmemory": maxmemory,
            "maxmemory-policy": policy,
            "save": '""',
            "appendonly": "no",
            "databases": "64",
            **(settings or {}),
        }

    @property
    def url(self) -> str:
        """Its address with the password, database 0."""
        return f"redis://:{self.home.password()}@127.0.0.1:{self.port}/0"

    @property
    def socket_path(self) -> Path:
        """The unix socket; root and the server's own account alone may open it."""
        return self.home.sockets() / "valkey.sock"

    def prepare(self) -> None:
        """Make the working folder; remove a socket that a killed run left."""
        self._program = valkey_server(self.home)
        self.home.data.mkdir(mode=0o700, exist_ok=True)
        self.home.account.own(self.home.data)
        self.socket_path.unlink(missing_ok=True)

    def command(self, port: int) -> list[str]:
        """Write the configuration and return the words that start the server with it."""
        return [str(self._program), str(self._write_configuration(port))]

    def is_ready(self, pid: int, said: str) -> bool:
        """Read the server's own word in its log."""
        return _READY in said

    def _write_configuration(self, port: int) -> Path:
        """Write the file anew; the password goes here, since a command line can be read by everyone."""
        lines = {
            **self._settings,
            "bind": "127.0.0.1",
            "port": str(port),
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "requirepass": self.home.password(),
            "dir": str(self.home.data),
            "daemonize": "no",
        }
        path = self.home.data / "valkey.conf"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name} {value}\n" for name, value in lines.items())
        self.home.account.own(path)
        return path
