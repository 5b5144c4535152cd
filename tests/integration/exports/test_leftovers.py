"""Files in the folder of archives that processes left when they died."""

import os
import time
import uuid
from pathlib import Path

from agentflow_tenancy import Tenant
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportFolder, Leftovers, NewExport
from tests.integration.exports.conftest import Connection
from tests.support.exporting import Exporting, kept

DIGEST = bytes(32)


def aged(path: Path) -> Path:
    """As if nobody had written it for two hours."""
    path.touch()
    long_ago = time.time() - 7200
    os.utime(path, (long_ago, long_ago))
    return path


async def test_what_nobody_needs_goes(work: Exporting, owner: Connection, acme: Tenant, beta: Tenant) -> None:
    """What is kept, worked on or just coming in stays, and so does what is not ours."""
    folder = work.folder
    done, _ = await work.export(acme)
    expired, _ = await work.export(acme)
    assert await work.records.expire(expired) is not None
    waits = await work.records.request_export(acme, NewExport(uuid.uuid4()), actor=SYSTEM)
    upload = kept(folder, beta, b"waits to be imported")
    await work.records.request_import(beta, upload, actor=SYSTEM)
    needed = [
        aged(folder.archive(done.export_id)),
        aged(folder.partial(waits.export_id, 1)),
        aged(folder.archive(waits.export_id)),
        aged(folder.upload(beta.tenant_id, upload.digest)),
        aged(folder.path / "notes.txt"),
        aged(folder.path / f"{uuid.uuid4()}.tar.gpg"),
    ]
    coming = folder.incoming(acme.tenant_id, uuid.uuid4())
    coming.touch()
    left = [
        aged(folder.archive(expired.export_id)),
        aged(folder.partial(done.export_id, 1)),
        aged(folder.archive(uuid.uuid4())),
        aged(folder.incoming(acme.tenant_id, uuid.uuid4())),
        aged(folder.upload(acme.tenant_id, DIGEST)),
        aged(folder.upload(acme.tenant_id, upload.digest)),
    ]
    assert await Leftovers(work.engine, folder).sweep() == len(left)
    assert set(folder.path.iterdir()) == {*needed, coming}
    assert await Leftovers(work.engine, folder).sweep() == 0
    await owner.execute(
        "UPDATE agentflow_exports SET state = 'cancelled', finished_at = now() WHERE state = 'queued'"
    )
    assert await Leftovers(work.engine, folder).sweep() == 3


async def test_no_folder_yet(work: Exporting) -> None:
    """There is nothing to do, and none is made."""
    folder = ExportFolder(work.folder.path / "none")
    assert await Leftovers(work.engine, folder).sweep() == 0
    assert not folder.path.exists()
