"""The file of tombstones outside of the database: each is in it, durably, before its receipt is issued."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final

from agentflow.errors import StorageError
from agentflow_tenancy.offboarding.receipt_repository import Draft
from agentflow_tenancy.tombstones.tombstone import Issued, Tombstone, read_tombstones, written

VARIABLE: Final = "AGENTFLOW_TOMBSTONES"


class TombstoneFile:
    """Grows and is never written anew. Any number of processes may append; methods may block on the disk."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or made yet."""
        self._path = path

    async def keep(self, draft: Draft) -> None:
        """Append the tombstone of a receipt that is about to be issued.

        One that is not issued after all does no harm: all that it speaks of was gone when it was made.

        Raises:
            StorageError: The file cannot be written, so there is no receipt yet.
        """
        receipt = draft.receipt
        one = Tombstone(
            receipt.tenant_id,
            draft.user_digest,
            draft.issued_at,
            receipt.receipt_id,
            Issued(receipt.body, receipt.jws, draft.public_jwk),
        )
        try:
            await asyncio.to_thread(self.append, [one])
        except OSError as error:
            raise StorageError(
                f"The tombstone cannot be kept in {VARIABLE}, and there is no receipt before: {error}."
            ) from error

    def append(self, tombstones: Iterable[Tombstone]) -> None:
        """Have these in the file, on the disk.

        Raises:
            OSError: They are not, or not all.
        """
        is_new = not self._path.exists()
        with open(self._path, "ab+", opener=_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_torn_line(file)
            file.write(written(tombstones).encode())
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(self._path.parent)

    def read(self) -> Sequence[Tombstone]:
        """All that are in it; none while there is no file.

        Raises:
            BadTombstonesError: See `read_tombstones`.
            OSError: The file cannot be read.
        """
        try:
            return read_tombstones(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []

    def stamp(self) -> tuple[int, ...] | None:
        """Another one when the file is another one or was written; None while there is none."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _cut_torn_line(file: IO[bytes]) -> None:
    """What a process that died wrote of its last line: its receipt was not issued."""
    end = file.seek(0, os.SEEK_END)
    at = end
    while at:
        step = min(at, 4096)
        file.seek(at - step)
        piece = file.read(step)
        if (found := piece.rfind(b"\n")) >= 0:
            at += found + 1 - step
            break
        at -= step
    if at < end:
        file.truncate(at)
    file.seek(0, os.SEEK_END)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
