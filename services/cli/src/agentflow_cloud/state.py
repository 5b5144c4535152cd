"""The state folder of a development stack: its secrets, and `dev.json` for whoever wants to talk to it."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agentflow_cloud.errors import CommandError

_DEFAULT_FOLDER = ".agentflow"
_DEV_FILE = "dev.json"


@dataclass(frozen=True, slots=True)
class DevFile:
    """`dev.json`: how to reach the running stack."""

    base_url: str
    operator_token: str = field(repr=False)
    tenant: str
    api_key: str = field(repr=False)
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


class StateFolder:
    """Files that outlive the stack, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        """Make the folder if it is missing.

        Raises:
            CommandError: It cannot be made or written.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(
                f"The state folder {path} cannot be made ({error.strerror}): "
                "set AGENTFLOW_STATE_DIR to another."
            ) from error

    def secret(self, name: str) -> str:
        """A random word that stays the same from now on."""
        known = self.known_secret(name)
        if known is not None:
            return known
        word = secrets.token_urlsafe(32)
        self._write(self.path / f"{name}.secret", word)
        return word

    def known_secret(self, name: str) -> str | None:
        """The same, if it was ever asked for."""
        file = self.path / f"{name}.secret"
        return file.read_text(encoding="utf-8").strip() if file.exists() else None

    def read_key(self, database_url: str) -> str | None:
        """The demo tenant's key for this database, if it was made before."""
        file = self.path / "demo-key.json"
        if not file.exists():
            return None
        known: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return known.get(_place(database_url))

    def write_key(self, database_url: str, key: str) -> None:
        """Keep the demo tenant's key for this database."""
        file = self.path / "demo-key.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self._write(file, json.dumps({**known, _place(database_url): key}))

    def write_dev_file(self, dev: DevFile) -> Path:
        """Write `dev.json`, whole or not at all."""
        file = self.path / _DEV_FILE
        self._write(file, json.dumps(asdict(dev), indent=1) + "\n")
        return file

    def _write(self, file: Path, text: str) -> None:
        beside = file.with_name(f"{file.name}.{os.getpid()}.new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        beside.replace(file)


def state_folder() -> StateFolder:
    """The folder that AGENTFLOW_STATE_DIR names, `.agentflow` here if it is not set."""
    return StateFolder(_folder())


def dev_file() -> Path:
    """Where `dev.json` is, if a stack was started; makes nothing."""
    return _folder() / _DEV_FILE


def _folder() -> Path:
    return Path(os.environ.get("AGENTFLOW_STATE_DIR") or _DEFAULT_FOLDER).absolute()


def _place(database_url: str) -> str:
    """What tells one database from another, without its password or port."""
    return database_url.rsplit("/", 1)[-1]
