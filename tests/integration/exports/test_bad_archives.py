"""Archives that somebody made or changed: refused before anything is stored, and nothing is unpacked."""

import gzip
import hashlib
import io
import json
import random
import string
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import Thread
from agentflow_tenancy import Limits, Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import layout
from tests.support.exporting import Exporting, scope_of

type Connection = asyncpg.Connection[asyncpg.Record]
type Files = list[tuple[str, bytes]]


def unpacked(archive: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [(entry.name, tar.extractfile(entry).read()) for entry in tar]  # type: ignore[union-attr]


def packed(files: Sequence[tuple[str, bytes]]) -> bytes:
    return (
        b"".join(layout.header(name, len(data)) + data + layout.filling(len(data)) for name, data in files)
        + layout.END
    )


def rewritten(archive: bytes, change: Callable[[dict[str, list[dict[str, Any]]]], None]) -> bytes:
    """With lines changed, and all checksums made to fit: by whoever knows the format."""
    files = unpacked(archive)[:-1]
    lines = {name: [json.loads(line) for line in data.decode().split("\n")[:-1]] for name, data in files}
    change(lines)
    data = {
        name: b"".join(
            json.dumps(line, ensure_ascii=False).encode(errors="surrogatepass") + b"\n" for line in some
        )
        for name, some in lines.items()
    }
    listed = [
        layout.Listed(name, len(text), text.count(b"\n"), hashlib.sha256(text).hexdigest())
        for name, text in data.items()
    ]
    manifest = layout.manifest_text(layout.manifest_of(listed))
    return packed([*data.items(), (layout.MANIFEST, manifest)])


def with_manifest(archive: bytes, **changed: Any) -> bytes:
    files = unpacked(archive)
    manifest = {**json.loads(files[-1][1]), **changed}
    return packed([*files[:-1], (layout.MANIFEST, json.dumps(manifest).encode())])


def special(kind: bytes, name: str) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    return entry.tobuf(tarfile.GNU_FORMAT)


def huge(archive: bytes) -> bytes:
    """A file that says it has a terabyte."""
    return layout.header("threads-000001.jsonl", 2**40) + archive[512:]


def flipped(archive: bytes) -> bytes:
    at = archive.index(b"name quotes")
    return archive[:at] + b"N" + archive[at + 1 :]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda a: b"",
    "no tar": lambda a: b"hello " * 1000,
    "gzip": gzip.compress,
    "zip": lambda a: b"PK\x03\x04" + a,
    "cut in a file": lambda a: a[: len(a) // 2],
    "cut by a block": lambda a: a[:-512],
    "cut before the end": lambda a: a[:-1024],
    "something behind": lambda a: a + b"\0" * 512,
    "a byte changed": flipped,
    "a link": lambda a: special(tarfile.SYMTYPE, "threads-000001.jsonl") + a,
    "a hard link": lambda a: special(tarfile.LNKTYPE, "threads-000001.jsonl") + a,
    "a device": lambda a: special(tarfile.CHRTYPE, "threads-000001.jsonl") + a,
    "a folder": lambda a: special(tarfile.DIRTYPE, "threads-000001.jsonl") + a,
    "a sparse file": lambda a: special(tarfile.GNUTYPE_SPARSE, "threads-000001.jsonl") + a,
    "a path upwards": lambda a: packed([("../../threads-000001.jsonl", b"x\n"), *unpacked(a)]),
    "an absolute path": lambda a: packed([("/tmp/threads-000001.jsonl", b"x\n"), *unpacked(a)]),
    "another name": lambda a: packed([("readme.txt", b"x\n"), *unpacked(a)]),
    "a terabyte": huge,
    "a file twice": lambda a: packed([unpacked(a)[0], *unpacked(a)]),
    "a file less": lambda a: packed(unpacked(a)[1:]),
    "no manifest": lambda a: packed(unpacked(a)[:-1]),
    "another order": lambda a: packed([unpacked(a)[1], unpacked(a)[0], *unpacked(a)[2:]]),
    "another format": lambda a: with_manifest(a, format="other"),
    "a lower version": lambda a: with_manifest(a, version=0),
    "other counts": lambda a: with_manifest(a, counts={"threads": 10**9}),
    "a manifest of brackets": lambda a: packed([*unpacked(a)[:-1], (layout.MANIFEST, b"[" * 100_000)]),
    "a manifest that says more": lambda a: with_manifest(a, more=1),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_refused(work: Exporting, acme: Tenant, beta: Tenant, owner: Connection, what: str) -> None:
    """Said what is wrong, for good; and beta has nothing."""
    _, archive = await work.export(acme)
    record = await work.bring(beta, BROKEN[what](archive))
    assert (record.state, record.error_code) == ("failed", "INVALID_ARCHIVE"), record.error
    assert await rows_of(owner, beta) == 0
    assert list(work.folder.path.glob("*.upload")) == []


async def test_a_newer_version(work: Exporting, acme: Tenant, beta: Tenant, owner: Connection) -> None:
    """Whatever else it holds: this service says that it is too old for it."""
    _, archive = await work.export(acme)
    record = await work.bring(beta, with_manifest(archive, version=2, new_thing=[1]))
    assert (record.state, record.error_code) == ("failed", "ARCHIVE_VERSION")
    assert await rows_of(owner, beta) == 0


def in_first(of: str, /, **values: Any) -> Callable[[dict[str, list[dict[str, Any]]]], None]:
    def change(files: dict[str, list[dict[str, Any]]]) -> None:
        files[f"{of}-000001.jsonl"][0].update(values)

    return change


def repeated(kind: str) -> Callable[[dict[str, list[dict[str, Any]]]], None]:
    def change(files: dict[str, list[dict[str, Any]]]) -> None:
        lines = files[f"{kind}-000001.jsonl"]
        lines.insert(0, dict(lines[0]))

    return change


# Of letters that no compression makes few of.
LONG = "".join(random.Random(1).choices(string.ascii_letters, k=20_000))
MEAN: dict[str, Callable[[dict[str, list[dict[str, Any]]]], None]] = {
    "another's prefix": in_first("messages", thread="nobody"),
    "blank id": in_first("threads", thread=""),
    "long id": in_first("threads", thread="A" * 600),
    "NUL in an id": in_first("threads", thread="A\0"),
    "NUL in a name": in_first("threads", name="A\0"),
    "half a pair": in_first("threads", name="A\ud800"),
    "NUL in metadata": in_first("threads", metadata={"a": "\0"}),
    "metadata no object": in_first("threads", metadata=[1]),
    "long metadata": in_first("threads", metadata={"a": "x" * 70_000}),
    "long state": in_first("threads", state="x" * (2**20 + 1)),
    "a state that is none": in_first("threads", state='{"a": 1'),
    "a state that is a list": in_first("threads", state="[1]"),
    "a state of brackets": in_first("threads", state='{"a":' * 100_000),
    "a delta that is none": in_first("checkpoints", delta="nothing"),
    "a delta that is a number": in_first("checkpoints", delta="7"),
    "long message": in_first("messages", content="x" * (2**20 + 1)),
    "another role": in_first("messages", role="root"),
    "another kind": in_first("messages", kind=7),
    "blocks that are none": in_first("messages", kind=1, content='],"stolen":['),
    "extra that is none": in_first("messages", extra='{}},"stolen":{'),
    "a message beyond the head": in_first("messages", seq=10_000),
    "a place beyond the next": in_first("messages", pos=10_000),
    "a checkpoint beyond the head": in_first("checkpoints", seq=10_000),
    "no whole number": in_first("checkpoints", seq=1.5),
    "a huge number": in_first("threads", head=2**31),
    "a time that is none": in_first("checkpoints", created_at="yesterday"),
    "a time without a zone": in_first("checkpoints", created_at="2026-01-01T00:00:00"),
    "no such id": in_first("checkpoints", id="x"),
    "a column more": in_first("threads", tenant_id="00000000-0000-0000-0000-000000000001"),
    "a result without an end": in_first("tools", finished_at=None, result="1"),
    "no hexadecimal": in_first("writes", value="zz"),
    "a time before all": in_first("checkpoints", created_at="0001-01-01T00:00:00+14:00"),
    "a time after all": in_first("messages", created_at="9999-12-31T23:59:59-14:00"),
    "a user that no index holds": in_first("threads", user=LONG),
    "a task that no key holds": in_first("writes", task=LONG),
    "a checkpoint that no key holds": in_first("writes", checkpoint=LONG),
    "blocks of brackets": in_first("messages", kind=1, content="[" * 100_000),
    "extra of brackets": in_first("messages", extra='{"a":' * 100_000),
    **{f"{kind} twice": repeated(kind) for kind in layout.KINDS},
}


@pytest.mark.parametrize("what", MEAN)
async def test_made_by_somebody_who_knows_the_format(
    work: Exporting, acme: Tenant, beta: Tenant, owner: Connection, what: str
) -> None:
    """Good checksums make no bad line good."""
    _, archive = await work.export(acme)
    assert rewritten(archive, lambda files: None) != b""
    record = await work.bring(beta, rewritten(archive, MEAN[what]))
    assert (record.state, record.error_code) == ("failed", "INVALID_ARCHIVE"), record.error
    assert await rows_of(owner, beta) == 0


async def test_unchanged_but_written_anew(work: Exporting, acme: Tenant, beta: Tenant) -> None:
    """The tests above refuse what they change, and nothing else."""
    _, archive = await work.export(acme)
    assert (await work.bring(beta, rewritten(archive, lambda files: None))).state == "done"
    assert (await work.export(beta))[1] == archive


async def test_threads_that_are_there(
    work: Exporting, acme: Tenant, beta: Tenant, owner: Connection, checkpointer: PgCheckpointer
) -> None:
    """Nothing is half done; once it is gone the same archive goes on."""
    await Thread(checkpointer, scope_of(beta), "tenant-beta-2:t1").write({"own": 1})
    _, archive = await work.export(acme)
    before = await rows_of(owner, beta)
    record = await work.bring(beta, archive)
    assert (record.state, record.error_code) == ("failed", "THREADS_EXIST")
    assert "'t1'" in (record.error or "")
    assert await rows_of(owner, beta) == before
    await checkpointer.delete_thread(scope_of(beta), "tenant-beta-2:t1")
    again = await work.bring(beta, archive)
    assert (again.export_id, again.state) == (record.export_id, "done")
    assert (await work.export(beta))[1] == archive


@pytest.mark.parametrize("limits", [Limits(threads=3), Limits(stored_bytes=500), Limits(message_bytes=1000)])
async def test_limits_hold(
    work: Exporting, acme: Tenant, beta: Tenant, owner: Connection, limits: Limits
) -> None:
    """More than the tenant may keep is refused before anything is stored."""
    await TenantRepository(work.engine).change(beta, {"limits": limits.as_json()}, actor=SYSTEM)
    _, archive = await work.export(acme)
    record = await work.bring(beta, archive)
    expected = "INVALID_ARCHIVE" if limits.message_bytes else "QUOTA_EXCEEDED"
    assert (record.state, record.error_code) == ("failed", expected)
    assert await rows_of(owner, beta) == 0


async def test_a_suspended_tenant(work: Exporting, acme: Tenant, beta: Tenant, owner: Connection) -> None:
    """It is exported, and nothing is brought into it."""
    tenants = TenantRepository(work.engine)
    _, archive = await work.export(acme)
    await tenants.set_state(acme.tenant_id, "suspended")
    await tenants.set_state(beta.tenant_id, "suspended")
    assert (await work.export(replace(acme, state="suspended")))[1] == archive
    assert (await work.bring(beta, archive)).state == "failed"
    assert await rows_of(owner, beta) == 0


async def rows_of(owner: Connection, tenant: Tenant) -> int:
    tables = ("threads", "checkpoints", "messages", "tool_calls", "writes", "usage_events")
    counts = [
        await owner.fetchval(f"SELECT count(*) FROM agentflow_{table} WHERE tenant_id = $1", tenant.tenant_id)
        for table in tables
    ]
    return sum(counts)
