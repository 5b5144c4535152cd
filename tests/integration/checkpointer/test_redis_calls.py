"""Scripts on a real Valkey: each caller has its own answer, whatever becomes of the connection between."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from agentflow.storage.checkpointer.cache import client_from_url
from agentflow.storage.checkpointer.redis_calls import Script, ScriptCalls
from agentflow_embedded.valkey import EmbeddedValkey

ECHO = Script("return ARGV[1]")
REFUSE = Script("return redis.error_reply('no ' .. ARGV[1])")
pytestmark = pytest.mark.own_server


@pytest.fixture
async def client(own_valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    client = client_from_url(own_valkey.url, timeout_s=5)
    yield client
    await client.aclose()


async def _ask(calls: ScriptCalls, script: Script, word: str) -> object:
    try:
        return await calls.call(script, [], [word])
    except ResponseError as error:
        return str(error)


async def test_each_has_its_own_answer(client: Redis) -> None:
    """Alone and together, with refusals between, of scripts that Redis knows or has forgotten."""
    calls = ScriptCalls(client)
    for _ in range(3):
        asked = [_ask(calls, (ECHO, REFUSE)[n % 3 == 1], str(n)) for n in range(450)]
        answers = await asyncio.gather(*asked)
        assert answers == [f"no {n}" if n % 3 == 1 else str(n).encode() for n in range(450)]
        assert await _ask(calls, REFUSE, "x") == "no x"
        assert await _ask(calls, ECHO, "x") == b"x"
        await client.script_flush()


async def test_a_connection_that_was_cut_while_idle(client: Redis, own_valkey: EmbeddedValkey) -> None:
    """By Redis itself, or with a Redis that began anew: the next call makes another, and nobody notices."""
    calls = ScriptCalls(client)
    assert await _ask(calls, ECHO, "a") == b"a"
    await client.client_kill_filter(_type="normal", skipme=True)
    await client.ping()
    assert await _ask(calls, ECHO, "b") == b"b"
    own_valkey.kill()
    own_valkey.start()
    async with client_from_url(own_valkey.url, timeout_s=5) as other:
        await other.ping()
    assert await _ask(calls, ECHO, "c") == b"c"


async def test_a_call_that_ended_early_leaves_no_answer_behind(
    client: Redis, own_valkey: EmbeddedValkey
) -> None:
    """Cancelled or too late while Redis held it back: the next one gets its own answer."""
    hasty = client_from_url(own_valkey.url, timeout_s=0.3)
    calls = ScriptCalls(hasty)
    assert await _ask(calls, ECHO, "first") == b"first"
    for turns in range(5):
        await client.client_pause(100, all=False)
        late = asyncio.create_task(calls.call(ECHO, [], ["late"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        late.cancel()
        await asyncio.wait([late])
        assert late.cancelled()
        assert await _ask(calls, ECHO, "own") == b"own"
    await client.client_pause(10_000, all=False)
    with pytest.raises(RedisError, match="Timeout"):
        await calls.call(ECHO, [], ["late"])
    await client.client_unpause()
    assert await _ask(calls, ECHO, "own") == b"own"
    await hasty.aclose()
