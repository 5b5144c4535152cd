"""Where a server keeps its files: below the state folder, or beside it when its account cannot get there."""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from agentflow_embedded.account import Account, account_for
from agentflow_embedded.errors import StateFolderError

# The longest socket path the kernel takes is 108 bytes on Linux and 104 on macOS, file name included.
_LONGEST_SOCKET_FOLDER = 70
# Files that say where else something of a server is.
_MOVED = "moved"
_SOCKETS = "sockets-at"


class Home:
    """The folder of one server: its data, password, log, sockets and lock.

    The folder is `state_dir/name`. When root starts the server and the server's account may not enter a
    folder above (a state folder in /root, say), the files live in `/var/lib/agentflow/ID` instead and
    `state_dir/name/moved` names that folder; deleting the state folder then forgets the data, and
    `remove_state` deletes it.
    """

    def __init__(self, state_dir: Path, name: str) -> None:
        anchor = state_dir.absolute() / name
        try:
            anchor.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.folder = self._resolve(anchor)
            self.account: Account = account_for(self.data)
        except PermissionError as error:
            raise StateFolderError(anchor, f"{error.strerror}: {error.filename}") from error

    @property
    def data(self) -> Path:
        """The server's own files."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "log"

    def password(self) -> str:
        """Return the server's password, made at the first call; readable for the user who starts servers."""
        path = self.folder / "password"
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
            fresh.rename(path)
        return path.read_text()

    def sockets(self) -> Path:
        """Return a folder with a short path for unix sockets, which only the server's account may enter."""
        folder = self.folder / "sockets"
        if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
            folder = self._short_folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        self.account.own(folder)
        return folder

    def _short_folder(self) -> Path:
        """Return a folder in the system's temporary place, the same one at every start."""
        note = self.folder / _SOCKETS
        known = Path(note.read_text()) if note.exists() else None
        # In a place that everyone can write to, a folder's name proves nothing; its owner does.
        if known and known.is_dir() and known.lstat().st_uid in (self.account.uid, os.geteuid()):
            return known
        # Not TMPDIR, which may be a long path itself.
        folder = Path(tempfile.mkdtemp(prefix="af-", dir="/tmp"))
        note.write_text(str(folder))
        return folder

    def _resolve(self, anchor: Path) -> Path:
        note = anchor / _MOVED
        if note.exists():
            folder = Path(note.read_text())
            folder.mkdir(mode=0o755, exist_ok=True)
            return folder
        if account_for(anchor / "data").reaches(anchor / "data"):
            return anchor
        folder = _reachable_place() / secrets.token_hex(6)
        folder.mkdir(mode=0o755)
        note.write_text(str(folder))
        return folder


def remove_state(state_dir: Path | str) -> None:
    """Delete a state folder, and what its servers keep elsewhere. For good: they must be stopped."""
    state_dir = Path(state_dir)
    for note in [*state_dir.rglob(_MOVED), *state_dir.rglob(_SOCKETS)]:
        _remove_named(note)
    shutil.rmtree(state_dir, ignore_errors=True)


def _remove_named(note: Path) -> None:
    """The folder that a note names, with what is named in it."""
    folder = Path(note.read_text())
    sockets = folder / _SOCKETS
    if sockets.exists():
        _remove_named(sockets)
    shutil.rmtree(folder, ignore_errors=True)


def _reachable_place() -> Path:
    """Return a folder of root's that every user may enter and only root may write to."""
    place = Path("/var/lib/agentflow")
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = place.stat()
    if found.st_uid != 0 or found.st_mode & 0o022 or not found.st_mode & 0o001:
        raise StateFolderError(place, "it must belong to root and be open to enter for everyone")
    return place
