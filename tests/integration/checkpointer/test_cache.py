"""The cache by itself: versions never go back, a deleted life stays dead, what is sent is what is new."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agentflow.storage.checkpointer.cache import ThreadCache, client_from_url
from agentflow.storage.checkpointer.cache_types import CachedBase, Keys, News
from agentflow.storage.checkpointer.testing.case import message, new_scope
from agentflow.storage.checkpointer.types import Snapshot
from agentflow_embedded import EmbeddedValkey


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[ThreadCache]:
    client = client_from_url(redis_url, timeout_s=5)
    yield ThreadCache(client, uuid.uuid4(), lease_s=10, ttl_s=10)
    await client.aclose()


@pytest.fixture
def keys(cache: ThreadCache) -> Keys:
    return cache.keys(new_scope(), "t")


ROWS = tuple(message(i, f"text {i}") for i in range(2500))


def at(head: int, messages: int = 0, thread_no: int = 7) -> Snapshot:
    return Snapshot(thread_no, head, messages, {"head": head}, list(ROWS[:messages]))


def news(snapshot: Snapshot, base: CachedBase | None = None) -> News:
    return News(snapshot, f'{{"head":{snapshot.head}}}', base)


async def cached(cache: ThreadCache, keys: Keys) -> Snapshot | None:
    began = await cache.begin(keys, "reader")
    assert began.taken
    await cache.release(keys, "reader", drop=False)
    return began.snapshot


async def test_what_was_published_comes_back(cache: ThreadCache, keys: Keys) -> None:
    """All of it, whatever its size, and the lock is free afterwards."""
    for head, messages in ((1, 0), (2, 1), (3, 2500)):
        assert (await cache.begin(keys, "a")).taken
        busy = await cache.begin(keys, "b")
        assert not busy.taken
        assert 0 < busy.held_for_s <= 10
        await cache.publish(keys, "a", news(at(head, messages)))
        assert await cached(cache, keys) == at(head, messages)


async def test_only_what_is_new_is_sent(cache: ThreadCache, keys: Keys) -> None:
    """From the base on; when the base is not what is cached, all of it, so that no message is missing."""
    await cache.publish(keys, "a", news(at(3, 10)))
    await cache.publish(keys, "a", news(at(5, 13), CachedBase(3, (10,))))
    assert await cached(cache, keys) == at(5, 13)
    await cache.publish(keys, "a", news(at(6, 14), CachedBase(3, (10,))))
    assert await cached(cache, keys) == at(6, 14)
    await cache.publish(keys, "a", news(at(7, 14), CachedBase(6, (14,))))
    assert await cached(cache, keys) == at(7, 14)
    await cache.release(keys, "a", drop=True)
    assert await cached(cache, keys) is None
    await cache.publish(keys, "a", news(at(8, 15), CachedBase(7, (14,))))
    assert await cached(cache, keys) == at(8, 15)


async def test_versions_never_go_back(cache: ThreadCache, keys: Keys) -> None:
    """An older version of the same life replaces nothing."""
    await cache.publish(keys, "a", news(at(10, 3)))
    await cache.publish(keys, "b", news(at(9, 2)))
    await cache.publish(keys, "c", news(at(9, 3), CachedBase(10, (3,))))
    assert await cached(cache, keys) == at(10, 3)


async def test_a_deleted_life_does_not_come_back(cache: ThreadCache, keys: Keys) -> None:
    """A publish that was under way is refused, before and after the next life began; that one is cached."""
    await cache.publish(keys, "a", news(at(4, 2)))
    await cache.bury(keys, 7)
    assert await cached(cache, keys) is None
    await cache.publish(keys, "late", news(at(5, 3)))
    assert await cached(cache, keys) is None
    await cache.publish(keys, "b", news(at(1, 1, thread_no=8)))
    await cache.publish(keys, "late", news(at(9, 3)))
    await cache.release(keys, "c", drop=True)
    await cache.publish(keys, "late", news(at(9, 3)))
    assert await cached(cache, keys) is None
    await cache.publish(keys, "b", news(at(2, 1, thread_no=8)))
    assert await cached(cache, keys) == at(2, 1, thread_no=8)


async def test_locks_are_their_holders(cache: ThreadCache, keys: Keys) -> None:
    """Nobody extends or frees another's; a free one is taken by who still believes it has it."""
    assert (await cache.begin(keys, "a")).taken
    assert await cache.extend(keys, "a")
    assert not await cache.extend(keys, "b")
    await cache.release(keys, "b", drop=False)
    await cache.publish(keys, "b", news(at(1)))
    assert not (await cache.begin(keys, "b")).taken
    await cache.release(keys, "a", drop=False)
    assert await cache.extend(keys, "a")
    assert not (await cache.begin(keys, "b")).taken
    await cache.release(keys, "a", drop=False)


async def test_closing_leaves_no_connection(own_valkey: EmbeddedValkey) -> None:
    """It waits for calls under way; a run that ends afterwards still frees its lock, and leaves none open."""
    cache = ThreadCache(client_from_url(own_valkey.url, timeout_s=5), uuid.uuid4(), lease_s=10, ttl_s=10)
    keys = [cache.keys(new_scope(), str(i)) for i in range(20)]
    taking = [asyncio.create_task(cache.begin(key, "a")) for key in keys]
    await asyncio.sleep(0)
    await cache.aclose()
    assert all(began.taken for began in await asyncio.gather(*taking))
    await asyncio.gather(*(cache.release(key, "a", drop=False) for key in keys))
    watching = client_from_url(own_valkey.url, timeout_s=5)
    assert await watching.keys("*") == []
    assert [client["id"] for client in await watching.client_list()] == [str(await watching.client_id())]
    await watching.aclose()


async def test_keys_are_one_scopes_and_one_threads(cache: ThreadCache) -> None:
    """No tenants or ids share a key, no placements or epochs a state.

    Each key has one hash tag, free of the id's signs. A lock stays when its tenant moves or has a new epoch.
    """
    scope = new_scope()
    scopes = [scope, replace(scope, epoch=1), replace(scope, placement=1), new_scope()]
    ids = ["a", "b", "a:b", "a}:l", "{x}", "", "é", "e\u0301", "x" * 200, "x" * 201, "h" + "0" * 64, "YQ"]
    keys = [cache.keys(s, i) for s in scopes for i in ids]
    assert len({key.state for key in keys}) == len(scopes) * len(ids)
    assert len({key.lock for key in keys}) == 2 * len(ids)
    names = [name for key in keys for name in key.all()]
    for name in names:
        assert (name.count("{"), name.count("}")) == (1, 1)
        assert name.isascii()
        assert len(name) < 300
