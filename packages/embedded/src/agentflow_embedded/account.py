"""Which user a server runs as: PostgreSQL refuses root, so root starts it as a user without rights."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from agentflow_embedded.errors import StateFolderError


@dataclass(frozen=True)
class Account:
    """The user and group a server runs as; `switches` when that is not the user who starts it."""

    uid: int
    gid: int
    switches: bool

    def own(self, path: Path) -> None:
        """Give a file or folder to this account."""
        if self.switches:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Say whether this account may enter every folder above a path."""
        return not self.switches or all(self._enters(folder) for folder in path.resolve().parents)

    def _enters(self, folder: Path) -> bool:
        found = folder.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def account_for(data: Path) -> Account:
    """Return the account for a server on this data folder, which need not exist.

    An ordinary user runs servers as themselves. Root runs them as the owner of the data, else as `nobody`.

    Raises:
        StateFolderError: The data belongs to another user, or the system has no `nobody`.
    """
    uid = os.geteuid()
    owner = data.stat().st_uid if data.exists() else None
    if uid != 0:
        if owner not in (None, uid):
            raise StateFolderError(data, f"it belongs to user {owner}, and this is user {uid}")
        return Account(uid, os.getegid(), switches=False)
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError as error:
        raise StateFolderError(
            data, "root needs another user to run the server as, and there is none"
        ) from error
    return Account(entry.pw_uid, entry.pw_gid, switches=True)
