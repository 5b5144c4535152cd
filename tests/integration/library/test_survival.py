"""A conversation outlives what holds it: processes, Postgres restarts, Redis in every state."""

import asyncio
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.cache_codec import pack_text
from agentflow.utils import END, interrupt
from agentflow_embedded import EmbeddedPostgres, EmbeddedValkey
from tests.support.guide_program import answer

ROOT = Path(__file__).parents[3]
NAME, QUESTION = "My name is Alex.", "What's my name?"


def program(db_url: str, redis_url: str, thread_id: str, *texts: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.guide_program", db_url, redis_url, thread_id, *texts]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def answers(process: subprocess.Popen[str]) -> Sequence[str]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return out.splitlines()


def app_on(checkpointer: PgCheckpointer) -> CompiledGraph[AgentState]:
    graph = StateGraph().add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END)
    return graph.compile(checkpointer)


async def turn(app: CompiledGraph[AgentState], thread_id: str, text: str) -> str:
    result = await app.ainvoke({"messages": [Message.text_message(text)]}, {"thread_id": thread_id})
    said: str = result["messages"][-1].text()
    return said


async def texts_of(app: CompiledGraph[AgentState], thread_id: str) -> list[str]:
    state = await app.aget_state({"thread_id": thread_id})
    return [message.text() for message in state.context] if state else []


def test_two_processes_on_an_empty_database_at_once(database_url: str, redis_url: str) -> None:
    """Both make the schema, both succeed."""
    running = [program(database_url, redis_url, f"t{i}", NAME, QUESTION) for i in range(4)]
    assert [answers(process) for process in running] == [["You are Alex.", "You are Alex."]] * 4


@pytest.mark.parametrize("redis", [True, False], ids=["redis", "postgres-alone"])
def test_a_new_process_goes_on(database_url: str, redis_url: str, redis: bool) -> None:
    """The second turn in another process; other threads know nothing."""
    where = redis_url if redis else "none"
    assert answers(program(database_url, where, "user-42", NAME)) == ["You are Alex."]
    assert answers(program(database_url, where, "user-42", QUESTION)) == ["You are Alex."]
    assert answers(program(database_url, where, "user-43", QUESTION)) == ["I do not know."]


@pytest.mark.leaves_connections
def test_sigkill_right_after_the_answer(database_url: str, redis_url: str) -> None:
    """What was answered is there."""
    process = program(database_url, redis_url, "user-42", NAME, "--hold")
    assert process.stdout is not None
    assert process.stdout.readline() == "You are Alex.\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert answers(program(database_url, redis_url, "user-42", QUESTION)) == ["You are Alex."]


@pytest.mark.own_server
async def test_postgres_is_restarted_and_killed(own_postgres: EmbeddedPostgres, redis_url: str) -> None:
    """The same program goes on by itself, with every message."""
    app = app_on(PgCheckpointer(own_postgres.url, redis_url=redis_url, retry_s=30))
    expected = []
    for i, disturb in enumerate((lambda: None, own_postgres.restart, own_postgres.kill)):
        await asyncio.to_thread(disturb)
        if not own_postgres.alive:
            await asyncio.to_thread(own_postgres.start)
        assert await turn(app, "t", f"{NAME} {i}") == "You are Alex."
        expected += [f"{NAME} {i}", "You are Alex."]
        assert await texts_of(app, "t") == expected
    await app.aclose()


@pytest.mark.own_server
async def test_redis_in_every_state(database_url: str, own_valkey: EmbeddedValkey) -> None:
    """Flushed, full of garbage, stale, paused, killed: the answers are the same; then it is fast again."""
    checkpointer = PgCheckpointer(database_url, redis_url=own_valkey.url, redis_timeout_s=0.2)
    app = app_on(checkpointer)
    expected: list[str] = []

    def degraded() -> bool:
        return checkpointer.degraded

    async def check(text: str) -> None:
        assert await turn(app, "t", text) == "You are Alex."
        expected.extend([text, "You are Alex."])
        assert await texts_of(app, "t") == expected

    await check(NAME)
    async with Redis.from_url(own_valkey.url) as redis:
        await redis.flushall()
        await check("after flush")
        keys = [key async for key in redis.scan_iter("af:*")]
        assert keys
        dumps = {key: await redis.dump(key) or b"" for key in keys}
        await check("newer than the dump")
        for key, dump in dumps.items():
            await redis.restore(key, 0, dump, replace=True)
        await check("after stale entries came back")
        for garbage in (b"\xff\x00garbage", b"{}", b"af1|1|1|[]"):
            await _spoil(redis, garbage)
            await check(f"after garbage {garbage!r}")
    own_valkey.pause()
    await check("paused")
    assert degraded()
    own_valkey.resume()
    own_valkey.kill()
    await check("killed")
    await asyncio.to_thread(own_valkey.start)
    async with asyncio.timeout(60):
        while degraded():
            await check(f"back? {uuid.uuid4().hex}")
            await asyncio.sleep(0.05)
    await check("back")
    await app.aclose()


@pytest.mark.own_server
async def test_a_cached_start_refuses_nobody(database_url: str, own_valkey: EmbeddedValkey) -> None:
    """An answer is judged by the store: a stale entry knows of no question, a corrupt one of nothing."""

    def ask(state: AgentState) -> str:
        return f"because {interrupt('why?')}" if state.context[-1].text() == "pause" else "ok"

    graph = StateGraph().add_node("A", ask).set_entry_point("A").add_edge("A", END)
    app = graph.compile(PgCheckpointer(database_url, redis_url=own_valkey.url, cache_bytes=0))
    thread = {"thread_id": "t"}
    await app.ainvoke({"messages": "hi"}, thread)
    async with Redis.from_url(own_valkey.url) as redis:
        dumps = {key: await redis.dump(key) or b"" for key in [key async for key in redis.scan_iter("af:*")]}
        assert (await app.ainvoke({"messages": "pause"}, thread))["meta"]["status"] == "interrupted_before"
        for key, dump in dumps.items():
            await redis.restore(key, 0, dump, replace=True)
        result = await app.ainvoke({"resume": "of that"}, thread)
        assert result["messages"][-1].text() == "because of that"
        for key in [key async for key in redis.scan_iter("af:*:s")]:
            body = pack_text('{"execution_meta":5}')
            await redis.eval("return redis.call('LSET', KEYS[1], 1, ARGV[1])", 1, key, body)
        assert (await app.ainvoke({"messages": "hi again"}, thread))["meta"]["status"] == "completed"
    await app.aclose()


async def _spoil(redis: Redis, garbage: bytes) -> None:
    """Every entry becomes garbage, of a wrong type for one kind of it; locks go, as by eviction."""
    for key in [key async for key in redis.scan_iter("af:*")]:
        await redis.delete(key)
        if key.endswith(b":l"):
            continue
        if garbage == b"{}":
            await redis.rpush(key, garbage)
        else:
            await redis.set(key, garbage)
