"""Two replicas on one thread, by generated commands: in any order they answer as a simple model does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from agentflow.errors import StaleCheckpointError, ThreadNotFoundError
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.testing.case import new_scope, raised
from tests.support.thread_model import Change, ThreadModel


class World:
    """A thread in the store, as two replicas know it, and in the model. Each command is a method."""

    def __init__(self, replicas: Sequence[PgCheckpointer], redis: Redis) -> None:
        self.replicas = replicas
        self.redis = redis
        self.scope = new_scope()
        self.model = ThreadModel()
        self.dumped: dict[str, bytes | None] = {}

    async def turn(self, replica: int, changes: Sequence[Change], starts_run: bool) -> None:
        """A session may begin with what is no longer so; then its first write is refused."""
        async with self.replicas[replica].session(self.scope, "t") as session:
            if session.snapshot != self.model.latest():
                assert session.from_cache
                write = self.model.write(session.snapshot, changes[0])
                await raised(StaleCheckpointError, session.append(write))
                await session.reload()
            for i, change in enumerate(changes):
                await self.append(session, change, starts_run=starts_run and not i)

    async def append(self, session: ThreadSession, change: Change, **other: Any) -> None:
        assert session.snapshot == self.model.latest()
        write = self.model.write(session.snapshot, change, **other)
        self.model.apply(write, await session.append(write))
        assert session.snapshot == self.model.latest()

    async def stale(self, replica: int, number: int, change: Change) -> None:
        """From any version but the latest, the time before the first one included."""
        if self.model.head:
            write = self.model.write(self.model.at(number % self.model.head), change)
            late = self.replicas[replica].append(self.scope, "t", write)
            error = await raised(StaleCheckpointError, late)
            assert error.found == self.model.head

    async def race(self, one: Change, other: Change) -> None:
        """Exactly one of two writers wins."""
        writes = [self.model.write(self.model.latest(), change) for change in (one, other)]
        appends = zip(self.replicas, writes, strict=True)
        answers = await asyncio.gather(
            *(store.append(self.scope, "t", write) for store, write in appends), return_exceptions=True
        )
        lost = [isinstance(answer, StaleCheckpointError) for answer in answers]
        assert sorted(lost) == [False, True]
        winner = lost.index(False)
        answer = answers[winner]
        assert not isinstance(answer, BaseException)
        self.model.apply(writes[winner], answer)

    async def again(self, replica: int) -> None:
        """The last write once more, as after a lost reply: it has one effect."""
        if self.model.head:
            last = self.model.versions[-1].write
            assert (await self.replicas[replica].append(self.scope, "t", last)).head == self.model.head

    async def load(self, replica: int) -> None:
        assert await self.replicas[replica].load(self.scope, "t") == self.model.latest()

    async def tail(self, replica: int, number: int) -> None:
        loaded = await self.replicas[replica].load(self.scope, "t", last_messages=number % 4)
        expected = self.model.latest()
        assert (loaded is None) == (expected is None)
        if loaded is not None and expected is not None:
            count = min(number % 4, len(expected.messages))
            assert list(loaded.messages) == list(expected.messages)[len(expected.messages) - count :]
            assert (loaded.head, loaded.fields) == (expected.head, expected.fields)

    async def at(self, replica: int, number: int) -> None:
        store = self.replicas[replica]
        if not self.model.head:
            await raised(ThreadNotFoundError, store.load_at(self.scope, "t", 1))
            return
        seq = 1 + number % self.model.head
        loaded, then = await store.load_at(self.scope, "t", seq), self.model.versions[seq - 1]
        assert (loaded.head, loaded.fields, list(loaded.messages)) == (seq, then.fields, then.messages)

    async def history(self, replica: int) -> None:
        entries = await self.replicas[replica].history(self.scope, "t", limit=1000)
        written = [(i, version.write.checkpoint_id) for i, version in enumerate(self.model.versions, 1)]
        assert [(entry.seq, entry.checkpoint_id) for entry in reversed(entries)] == written

    async def messages(self, replica: int, number: int) -> None:
        listing = self.replicas[replica].list_messages(self.scope, "t", offset=number % 3, limit=2)
        if not self.model.head:
            await raised(ThreadNotFoundError, listing)
        else:
            first = number % 3
            assert list(await listing) == self.model.versions[-1].messages[first : first + 2]

    async def stop(self, replica: int) -> None:
        found = await self.replicas[replica].request_stop(self.scope, "t")
        assert found == bool(self.model.head)
        self.model.stopping = found

    async def delete(self, replica: int) -> None:
        assert await self.replicas[replica].delete_thread(self.scope, "t") == bool(self.model.head)
        self.model.delete()

    async def flush(self) -> None:
        """Redis forgets the thread."""
        await self.redis.delete(*await self.keys())

    async def dump(self) -> None:
        self.dumped = {key: await self.redis.dump(key) for key in await self.keys()}

    async def restore(self) -> None:
        """Redis comes back with what it had some time before."""
        for key, dump in self.dumped.items():
            await self.redis.delete(key)
            if dump is not None:
                await self.redis.restore(key, 0, dump)

    async def keys(self) -> Sequence[str]:
        cache = (await self.replicas[0].backend())._cache
        assert cache is not None
        return cache.keys(self.scope, "t").all()


number = st.integers(0, 50)
replica = st.integers(0, 1)
# What Postgres cannot hold is refused before it is sent, which is another test's.
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
value = st.one_of(
    st.integers(), st.booleans(), text, st.lists(number, max_size=3), st.dictionaries(
        st.sampled_from("ab"), number
    ),
)  # fmt: skip
change = st.tuples(st.sampled_from(["add", "add", "edit", "remove", "set", "set", "unset"]), number, value)
turn = st.tuples(st.just(World.turn), replica, st.lists(change, min_size=1, max_size=4), st.booleans())
any_command = st.one_of(
    turn,
    turn,
    turn,
    st.tuples(st.just(World.stale), replica, number, change),
    st.tuples(st.just(World.race), change, change),
    st.tuples(st.just(World.again), replica),
    st.tuples(st.sampled_from([World.load, World.history, World.stop, World.delete]), replica),
    st.tuples(st.sampled_from([World.tail, World.at, World.messages]), replica, number),
    st.tuples(st.sampled_from([World.flush, World.dump, World.restore])),
)


@pytest.fixture
async def replicas(migrated_database_url: str, redis_url: str) -> AsyncIterator[list[PgCheckpointer]]:
    """Of one database; only the first remembers threads in its process."""
    both = [
        PgCheckpointer(migrated_database_url, redis_url),
        PgCheckpointer(migrated_database_url, redis_url, cache_bytes=0),
    ]
    yield both
    for checkpointer in both:
        await checkpointer.aclose()


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(commands=st.lists(any_command, min_size=4, max_size=25))
async def test_as_the_model(
    replicas: list[PgCheckpointer], redis_url: str, commands: list[tuple[Any, ...]]
) -> None:
    """Each sequence of turns, races, stale writes, reads, deletions and losses of Redis, on a new thread."""
    async with Redis.from_url(redis_url) as redis:
        world = World(replicas, redis)
        for command, *arguments in commands:
            await command(world, *arguments)
        for replica in (0, 1):
            await world.load(replica)
            await world.history(replica)
