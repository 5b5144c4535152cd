"""What a run says faster than it can be kept."""

import json
import uuid

from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.core.graph import StreamChunk
from agentflow.core.graph.chunks import StreamEvent
from agentflow.core.state import Message
from agentflow_hosting.chunk_writer import ChunkWriter
from agentflow_hosting.run_feed import RunFeed
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import Chunk, NewRun
from agentflow_tenancy import ALL_SCOPES, Principal, TenantRepository

WORDS = 20_000


def piece(text: str, message_id: str, *, delta: bool = True) -> StreamChunk:
    message = Message.text_message(text, role="assistant", message_id=message_id)
    return StreamChunk(
        event=StreamEvent.MESSAGE,
        message=message.model_copy(update={"delta": delta}),
        thread_id="t",
        run_id="r",
        metadata={"node": "MAIN"},
    )


async def test_pieces_that_wait_become_one(migrated_database_url: str) -> None:
    """Nothing is lost or changes its order, numbers have no gap, and there are far fewer rows than words.

    The first one waits for no other: who reads waits for it, and nobody else may have a turn for a while.
    """
    engine = create_async_engine(migrated_database_url)
    tenant = await TenantRepository(engine).create_tenant("acme")
    repository = RunRepository(engine, lease_s=30)
    new = NewRun(tenant.tenant_id, uuid.uuid4(), "t", None, "key", "memory", {"messages": []})
    found = await repository.create(new, holder=uuid.uuid4())
    assert found is not None
    run = found[0]
    principal = Principal(tenant=tenant, key_id="key", scopes=frozenset(ALL_SCOPES))
    feed = RunFeed(None)
    with feed.at_work(run.run_id) as topic:
        writer = ChunkWriter(
            repository, run, principal, feed, topic, on_cancel=lambda _: None, on_lost=lambda: None
        )
        for number in range(WORDS):
            writer.put(piece(f"{number} ", "a"))
        writer.put(piece("x", "b"))
        writer.put(piece("whole", "b", delta=False))
        writer.put(piece("y", "b"))
        await writer.flush()
    rows: list[Chunk] = []
    while page := await repository.chunks(tenant.tenant_id, run.run_id, after=len(rows) - 1):
        rows += page
    told = [json.loads(row.body) for row in rows]
    await engine.dispose()
    await feed.aclose()
    assert [chunk["seq"] for chunk in told] == list(range(len(told)))
    texts = [(chunk["message"]["message_id"], chunk["message"]["content"][0]["text"]) for chunk in told]
    assert "".join(text for name, text in texts if name == "a") == "".join(f"{n} " for n in range(WORDS))
    assert texts[0] == ("a", "0 ")
    assert texts[-3:] == [("b", "x"), ("b", "whole"), ("b", "y")]
    assert len(told) < WORDS / 1000
    assert all(chunk["message"]["delta"] for chunk in told[:-2])
