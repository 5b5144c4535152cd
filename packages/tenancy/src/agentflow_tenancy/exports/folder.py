"""Where archives lie: a folder that the API and the worker share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

VARIABLE: Final = "AGENTFLOW_EXPORTS"
MEANING: Final = "Folder of exports and uploads that the API and the worker share. There are none if not set."

_ID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAMES: Final = re.compile(rf"{_ID}\.(?:tar|[0-9]+\.part|[0-9a-f]{{64}}\.upload|{_ID}\.incoming)")


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """Names files by ids, and by nothing that anybody chose."""

    path: Path

    def archive(self, export_id: UUID) -> Path:
        """A whole export."""
        return self.path / f"{export_id}.tar"

    def partial(self, export_id: UUID, attempt: int) -> Path:
        """What one attempt writes: another one, that sleeps, never writes to the same file."""
        return self.path / f"{export_id}.{attempt}.part"

    def partials(self, export_id: UUID) -> list[Path]:
        """What attempts left, the latest last."""
        found = self.path.glob(f"{export_id}.*.part")
        return sorted(found, key=lambda file: int(file.name.split(".")[1]))

    def upload(self, tenant_id: UUID, digest: bytes) -> Path:
        """What a tenant imports: the same archive, sent again, is the same file."""
        return self.path / f"{tenant_id}.{digest.hex()}.upload"

    def incoming(self, tenant_id: UUID, export_id: UUID) -> Path:
        """An upload that is coming in."""
        return self.path / f"{tenant_id}.{export_id}.incoming"

    def make(self) -> None:
        """Make the folder, for its owner alone."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def files(self, export_id: UUID) -> list[Path]:
        """All of one export or import."""
        return list(self.path.glob(f"{export_id}.*"))

    def uploads(self, tenant_id: UUID) -> list[Path]:
        """All that a tenant sent to be imported, or is sending."""
        return [*self.path.glob(f"{tenant_id}.*.upload"), *self.path.glob(f"{tenant_id}.*.incoming")]

    def known(self) -> list[Path]:
        """Every file that has a name as they have here; whatever else lies there is nobody's business."""
        return [file for file in self.path.glob("*") if _NAMES.fullmatch(file.name)]

    def drop(self, export_id: UUID) -> int:
        """Delete all files of one export or import; how many."""
        files = self.files(export_id)
        for file in files:
            file.unlink(missing_ok=True)
        return len(files)
