"""A real PostgreSQL 18 for development and tests."""

import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from agentflow_embedded.binaries import postgres_bin
from agentflow_embedded.errors import DiskFullError
from agentflow_embedded.postgres_admin import first_words
from agentflow_embedded.processes import command_line, signal_all, start_time
from agentflow_embedded.server import EmbeddedServer

# An empty data folder with its first WAL segments takes 40 MiB; below this the first writes would fail.
MINIMUM_FREE_BYTES = 200 * 2**20
_ORPHAN_TIMEOUT_S = 30.0

_DEFAULTS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# No trust, not even on the loopback: other people may be logged in on the same machine.
_HBA = """\
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host replication postgres 127.0.0.1/32 scram-sha-256
"""


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL with a database `agentflow` that belongs to a role `agentflow`.

    The role may create databases and roles but is no superuser. Both roles have the same generated password,
    kept in the state folder where only the user who starts the server can read it. Writes are durable
    (fsync and synchronous commit) unless `settings` says otherwise.
    """

    name = "postgres"
    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, then writes a checkpoint

    def __init__(
        self, state_dir: Path | str, *, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """Prepare a server that is not started.

        Args:
            state_dir: Its files go to `state_dir/postgres`.
            port: None takes the last run's port when it is free, else any free one.
            settings: Server settings by name, over the defaults; `{"fsync": "off"}` for tests.
        """
        super().__init__(state_dir, port=port)
        self._settings = {**_DEFAULTS, **(settings or {})}

    @property
    def url(self) -> str:
        """SQLAlchemy's address of the database `agentflow`, with the password."""
        return self.url_of("agentflow")

    @property
    def dsn(self) -> str:
        """The same address without SQLAlchemy's driver name, as asyncpg and psql take it."""
        return self.url.replace("+asyncpg", "", 1)

    @property
    def superuser_url(self) -> str:
        """SQLAlchemy's address of the database `agentflow` for the superuser `postgres`."""
        return self.url_of("agentflow", role="postgres")

    @property
    def socket_dir(self) -> Path:
        """The folder of the unix socket; root and the server's own account alone may enter it."""
        return self.home.sockets()

    def url_of(self, database: str, *, role: str = "agentflow") -> str:
        """Return SQLAlchemy's address of a database of this server, with the password."""
        return f"postgresql+asyncpg://{role}:{self.home.password()}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the data folder at the first start; end what a killed run left over."""
        self._bin = postgres_bin(self.home)
        if not self.home.data.exists():
            self._create()
        self._clear_stale_pid()

    def command(self, port: int) -> list[str]:
        """Return the words that start the server; no secret is among them."""
        settings = {
            **self._settings,
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(self.home.sockets()),
            "unix_socket_permissions": "0700",
        }
        words = [str(self._bin / "postgres"), "-D", str(self.home.data)]
        return words + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def is_ready(self, pid: int, said: str) -> bool:
        """Read the server's own word: the eighth line of its pid file."""
        lines = _lines(self.home.data / "postmaster.pid")
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    # --- the first start ------------------------------------------------------------------------------

    def _create(self) -> None:
        """Make the data folder. A half-made one keeps another name, so a crash here is started over."""
        free_bytes = shutil.disk_usage(self.home.folder).free
        if free_bytes < MINIMUM_FREE_BYTES:
            raise DiskFullError(self.title, self.home.folder, free_bytes)
        draft = self.home.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self.home.account.own(draft)
        # This build has no ICU; the built-in provider sorts like C and knows upper and lower case of Unicode.
        collation = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
        self._run(["initdb", "-D", str(draft), "--username=postgres", "--auth=reject", *collation])
        self._run(["postgres", "--single", "-D", str(draft), "postgres"], first_words(self.home.password()))
        (draft / "pg_hba.conf").write_text(_HBA)
        draft.rename(self.home.data)

    def _run(self, words: list[str], entered: str = "") -> None:
        """Run one of PostgreSQL's programs as the server's account."""
        account = self.home.account
        done = subprocess.run(
            [str(self._bin / words[0]), *words[1:]],
            input=entered,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            user=account.uid if account.switches else None,
            group=account.gid if account.switches else None,
            extra_groups=[] if account.switches else None,
        )
        # Single-user mode reports a failed statement and ends well all the same.
        if done.returncode != 0 or "ERROR:" in done.stderr:
            raise self._failed(f"could not be set up ({words[0]} failed)", done.stdout + done.stderr)

    # --- after a crash --------------------------------------------------------------------------------

    def _clear_stale_pid(self) -> None:
        """Make sure that no server runs on the data and that its pid file stands in nobody's way.

        We hold the lock, so a server on this data has lost its guard and its starter: it is ended. A pid that
        belongs to an unrelated process by now would keep PostgreSQL from starting; its file is removed.
        """
        file = self.home.data / "postmaster.pid"
        lines = _lines(file)
        if not lines or not lines[0].isdigit():
            return
        pid = int(lines[0])
        born = start_time(pid)
        if born is not None and self._is_ours(pid):
            signal_all([pid], signal.SIGINT)
            _wait_for_end(pid, born)
        elif born is not None:
            file.unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        """Say whether a process is a PostgreSQL server on our data folder."""
        words = command_line(pid)
        return str(self.home.data) in words and words[0].endswith("postgres")


def _wait_for_end(pid: int, born: str) -> None:
    deadline = time.monotonic() + _ORPHAN_TIMEOUT_S
    while start_time(pid) == born and time.monotonic() < deadline:
        time.sleep(0.01)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except FileNotFoundError:
        return []
