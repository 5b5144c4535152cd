"""Export, import, export: the same bytes, whatever a thread holds, and the conversation goes on."""

import asyncio
import io
import json
import tarfile
import uuid
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import Thread, contents, message
from agentflow_tenancy import Tenant, TenantRepository, UsageRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import layout
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_worker.operation_runner import OperationRunner
from tests.support.exporting import Exporting, fill, scope_of

type Connection = asyncpg.Connection[asyncpg.Record]


def files_of(archive: bytes) -> dict[str, list[dict[str, object]]]:
    """The lines of each file, as any tar program finds them."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {entry.name: tar.extractfile(entry) for entry in tar.getmembers()}
        texts = {name: file.read().decode() for name, file in found.items() if file is not None}
    assert texts.keys() == found.keys()
    manifest = texts.pop(layout.MANIFEST)
    assert json.loads(manifest)["format"] == "agentflow-export"
    return {name: [json.loads(line) for line in text.splitlines()] for name, text in _as_lines(texts)}


def _as_lines(texts: dict[str, str]) -> list[tuple[str, str]]:
    """A line ends with a line feed and with nothing else that a text may hold."""
    return [(name, text.replace("\u2028", " ")) for name, text in texts.items()]


async def test_the_same_bytes(
    work: Exporting,
    acme: Tenant,
    beta: Tenant,
    owner: Connection,
    engine: AsyncEngine,
    checkpointer: PgCheckpointer,
) -> None:
    """Also of what was packed meanwhile; and what was brought is a thread like any other."""
    done, archive = await work.export(acme)
    assert (done.state, done.threads_done, done.threads_total) == ("done", 6, 6)
    assert done.size_bytes == len(archive)
    files = files_of(archive)
    assert {name.split("-")[0] for name in files} == set(layout.KINDS)
    assert [line["thread"] for line in files["threads-000001.jsonl"]] == [
        "Z",
        "graph",
        "t0",
        "t1",
        "t2",
        "é:a{b}",
    ]
    brought = await work.bring(beta, archive)
    assert (brought.state, brought.error, brought.threads_done) == ("done", None, 6)
    assert (await work.export(beta))[1] == archive
    packer = PgCheckpointer(engine.url.render_as_string(hide_password=False), None)
    assert await packer.pack_idle(idle_for=timedelta(0)) == 2
    await packer.aclose()
    packed = "SELECT count(*) FROM agentflow_checkpoints WHERE archive IS NOT NULL"
    assert await owner.fetchval(packed) > 0
    assert (await work.export(beta))[1] == archive
    assert (await work.export(acme))[1] == archive
    for name in ("t0", "é:a{b}"):
        old = await Thread(checkpointer, scope_of(acme), f"tenant-acme:{name}").load()
        thread = Thread(checkpointer, scope_of(beta), f"tenant-beta-2:{name}")
        new = await thread.load()
        assert (new.head, new.next_pos, new.fields, new.messages) == (
            old.head,
            old.next_pos,
            old.fields,
            old.messages,
        )
        assert (await checkpointer.load_at(thread.scope, thread.id, 2)).fields["k"] == 1
        assert (await thread.write({"k": 3}, added=[message(new.next_pos, "on")])).head == old.head + 1
        assert contents(await thread.load())[-1] == "on"
    assert (await work.export(acme))[1] == archive


async def test_one_user_and_one_thread(
    work: Exporting, acme: Tenant, beta: Tenant, checkpointer: PgCheckpointer
) -> None:
    """Only theirs, whole."""
    _, archive = await work.export(acme, user_id="u1")
    threads = files_of(archive)["threads-000001.jsonl"]
    assert {line["user"] for line in threads} == {"u1"}
    assert len(threads) == 2
    await work.bring(beta, archive)
    assert (await work.export(beta))[1] == archive
    _, one = await work.export(acme, thread_id="t2")
    found = files_of(one)
    assert {line["thread"] for lines in found.values() for line in lines} == {"t2"}
    assert len(found["checkpoints-000001.jsonl"]) == 3
    _, none = await work.export(acme, thread_id="missing")
    assert files_of(none) == {}
    assert (await work.bring(beta, none)).state == "done"


async def test_what_is_kept_is_counted(
    work: Exporting, acme: Tenant, beta: Tenant, engine: AsyncEngine
) -> None:
    """The threads and bytes of an import, as of those that were written; and no run or token."""
    usage = UsageRepository(engine)
    _, archive = await work.export(acme)
    await work.bring(beta, archive)
    old, new = await usage.used(acme.tenant_id), await usage.used(beta.tenant_id)
    assert (new.threads, new.stored_bytes) == (old.threads, old.stored_bytes)
    assert (new.tokens, new.checkpoints) == (0, 0)


async def test_many_parts(
    work: Exporting,
    beta: Tenant,
    engine: AsyncEngine,
    checkpointer: PgCheckpointer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut by rows and by threads, at the same places each time."""
    monkeypatch.setattr(layout, "PART_ROWS", 20)
    monkeypatch.setattr(layout, "PART_THREADS", 7)
    large = await TenantRepository(engine).create_tenant("large")
    await fill(checkpointer, large, threads=30)
    done, archive = await work.export(large)
    assert done.threads_done == 33
    parts = [name for name in files_of(archive) if name.startswith("threads")]
    assert len(parts) > 9
    brought = await work.bring(beta, archive)
    assert (brought.state, brought.threads_done) == ("done", 33)
    assert (await work.export(beta))[1] == archive


async def test_each_thread_is_of_one_version(
    work: Exporting, acme: Tenant, beta: Tenant, checkpointer: PgCheckpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers go on, and a move too: what is exported fits together, and nothing is missing."""
    monkeypatch.setattr(layout, "PART_THREADS", 2)
    stop, all_wrote = asyncio.Event(), asyncio.Event()
    heads: dict[str, int] = {}

    async def write(number: int) -> None:
        thread = Thread(checkpointer, scope_of(acme), f"tenant-acme:w{number}")
        at = 0
        while not stop.is_set() or at < 3:
            committed = await thread.write({"at": at}, added=[message(at)])
            at += 1
            heads[f"w{number}"] = committed.head
            if len(heads) == 4:
                all_wrote.set()

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    await all_wrote.wait()
    await OperationRepository(work.engine).request(acme, None, actor=SYSTEM)
    mover = OperationRunner(
        OperationRepository(work.engine), Mover(work.engine, settle_s=0), lease_s=2, poll_s=0.02
    )
    moving = asyncio.create_task(mover.work_once())
    archives = []
    for _ in range(3):
        before = dict(heads)
        done, archive = await work.export(acme)
        assert done.threads_done == 10
        archives.append((before, archive))
    await moving
    stop.set()
    await asyncio.gather(*writers)
    for before, archive in archives:
        files = files_of(archive)
        lines = [line for name, some in files.items() for line in some if name.startswith("threads")]
        threads = {str(line["thread"]): line for line in lines}
        for name, head in before.items():
            assert int(str(threads[name]["head"])) >= head
            seqs = [
                line["seq"]
                for file, some in files.items()
                for line in some
                if file.startswith("checkpoints") and line["thread"] == name
            ]
            assert seqs == list(range(1, int(str(threads[name]["head"])) + 1))
    assert (await work.bring(beta, archives[-1][1])).state == "done"


async def test_a_tenant_of_the_same_prefix_is_not_in_it(
    work: Exporting, acme: Tenant, engine: AsyncEngine, checkpointer: PgCheckpointer
) -> None:
    """`acme` and `acme-2` in one partition: neither's export holds a word of the other's."""
    other = await TenantRepository(engine).create_tenant("acme-2")
    word = f"canary{uuid.uuid4().hex}"
    await Thread(checkpointer, scope_of(other), "tenant-acme-2:t0").write(
        {"k": word}, added=[message(0, word)]
    )
    _, archive = await work.export(acme)
    assert word.encode() not in archive
    _, theirs = await work.export(other)
    assert files_of(theirs)["threads-000001.jsonl"][0]["thread"] == "t0"
    assert theirs.count(word.encode()) >= 2
