"""The backup scripts as an operator runs them, as the server's own account."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from agentflow_embedded import EmbeddedPostgres
from agentflow_embedded.binaries import postgres_bin
from tests.support.api import free_port
from tests.support.run import ROOT


def scripts_in(folder: Path) -> Path:
    """A copy of the scripts where every account can read them."""
    copy = folder / "backup-scripts"
    shutil.copytree(ROOT / "infra" / "backup", copy)
    for path in (copy, *copy.iterdir()):
        path.chmod(0o755)
    return copy


@dataclass
class Backups:
    """Backups of one server, and servers restored from them.

    Attributes:
        server: Started; archives its WAL into `archive`.
        scripts: See `scripts_in`.
        folder: For base backups and restored data.
    """

    server: EmbeddedPostgres
    scripts: Path
    archive: Path
    folder: Path
    restored: Path | None = None
    port: int = 0

    def take(self) -> str:
        """A base backup; where it is."""
        environment = {"PGHOST": "127.0.0.1", "PGPORT": str(self.server.port), "PGUSER": "postgres"}
        return self._run("base-backup", str(self.folder / "base"), **environment).strip()

    def restore(self, backup: str, time: str, port: int | None = None) -> str:
        """A started server with the backup's data as of a time; SQLAlchemy's address of its database."""
        self.port, self.restored = port or free_port(), self.folder / "restored"
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.server.home.sockets()),
            "max_connections": "200",
        }
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._run(
            "restore", backup, str(self.archive), str(self.restored), time, AGENTFLOW_RESTORE_OPTIONS=words
        )
        return self.server.url.replace(f":{self.server.port}/", f":{self.port}/")

    def stop(self) -> None:
        """End the restored server, if there is one."""
        if self.restored is not None and (self.restored / "postmaster.pid").exists():
            self._run(self.bin / "pg_ctl", "--pgdata", str(self.restored), "--mode=immediate", "stop")

    @property
    def bin(self) -> Path:
        """The server's own programs."""
        return postgres_bin(self.server.home)

    def _run(self, program: str | Path, *words: str, **environment: str) -> str:
        account = self.server.home.account
        done = subprocess.run(
            [str(self.scripts / program), *words],
            env={
                "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
                "PGPASSWORD": self.server.home.password(),
                **environment,
            },
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            user=account.uid if account.switches else None,
            group=account.gid if account.switches else None,
            extra_groups=[] if account.switches else None,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout
