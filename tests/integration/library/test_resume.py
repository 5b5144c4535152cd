"""Answers from several processes: each counts once, whoever is second is told, and a crash loses none."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentflow.errors import InterruptAnsweredError
from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer, Scope
from tests.support.resuming_program import Asked, asking_app, attempt
from tests.support.run import ROOT

T = {"thread_id": "t"}
TOLD = {"INTERRUPT_ALREADY_ANSWERED", "NOTHING_TO_RESUME"}
THREADS, ROUNDS = 5, 25


class Other:
    """A process that answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self.stdout = process.stdout

    @classmethod
    async def start(cls, *arguments: str) -> "Other":
        command = [sys.executable, "-m", "tests.support.resuming_program", *arguments]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe))

    def go(self, work: Sequence[tuple[str, Any]]) -> None:
        self.stdin.write(json.dumps(work).encode() + b"\n")

    async def done(self) -> list[Any]:
        line = await self.stdout.readline()
        assert line, "the process ended"
        done: list[Any] = json.loads(line)
        return done

    async def end(self) -> None:
        # Waiting alone would leave our end of its pipe open: it is closed when all was read.
        await self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture(params=["memory", "postgres", "postgres and redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[BaseCheckpointer]:
    if request.param == "memory":
        yield InMemoryCheckpointer()
        return
    redis_url = request.getfixturevalue("redis_url") if request.param == "postgres and redis" else None
    checkpointer = PgCheckpointer(request.getfixturevalue("database_url"), redis_url=redis_url)
    yield checkpointer
    await checkpointer.aclose()


async def seen(store: BaseCheckpointer, thread_id: str = "t") -> tuple[str, list[str]]:
    """Status of a thread, and ids of what it waits for, as any process sees them."""
    info = await store.get_thread(Scope(), thread_id)
    assert info is not None
    listed = {one.thread_id: one.status for one in await store.list_threads(Scope())}
    assert listed[thread_id] == info.status
    return info.status, [one.id for one in info.interrupts or ()]


async def answers(store: BaseCheckpointer, effects: Path, thread_id: str = "t") -> list[str]:
    state: Asked | None = await asking_app(store, effects).aget_state({"thread_id": thread_id})
    assert state is not None
    return state.answers


async def test_races_in_one_process(store: BaseCheckpointer, tmp_path: Path) -> None:
    """Ten answers at once to the same question: one counts, nine are told, and the next question waits."""
    effects = tmp_path / "effects"
    app = asking_app(store, effects)
    waits = await attempt(app, "t", {"messages": "hello"}, "sync")
    for i in range(10):
        tries = (attempt(app, "t", {"resume": {waits[0]: f"{i}-{j}"}}, "sync") for j in range(10))
        done = await asyncio.gather(*tries)
        assert done.count("INTERRUPT_ALREADY_ANSWERED") == 9
        [waits] = [one for one in done if isinstance(one, list)]
        assert await seen(store) == ("interrupted", waits)
    assert [answer.partition("-")[0] for answer in await answers(store, effects)] == [
        str(i) for i in range(10)
    ]
    assert len(effects.read_text().splitlines()) == 10


@pytest.mark.parametrize("redis", [True, False], ids=["redis", "postgres alone"])
async def test_races_of_two_processes(database_url: str, redis_url: str, redis: bool, tmp_path: Path) -> None:
    """For every question of every thread one of the two answers counts, once, and the other is told."""
    effects, names = tmp_path / "effects", ("one", "other")
    where = redis_url if redis else "none"
    racers = [await Other.start(database_url, where, str(effects)) for _ in names]
    threads = [f"t{i}" for i in range(THREADS)]
    racers[0].go([(thread, {"messages": "hello"}) for thread in threads])
    waits = await racers[0].done()
    winners: list[list[str]] = [[] for _ in threads]
    for i in range(ROUNDS):
        for name, racer in list(zip(names, racers, strict=True))[:: 1 if i % 2 else -1]:
            racer.go([(t, {"resume": {one[0]: name}}) for t, one in zip(threads, waits, strict=True)])
        both = await asyncio.gather(*(racer.done() for racer in racers))
        for place, pair in enumerate(zip(*both, strict=True)):
            assert [one for one in pair if isinstance(one, str)] == ["INTERRUPT_ALREADY_ANSWERED"], pair
            [(winner, waits[place])] = [
                (n, w) for n, w in zip(names, pair, strict=True) if isinstance(w, list)
            ]
            winners[place].append(winner)
    for racer in racers:
        await racer.end()
    assert {name for won in winners for name in won} == set(names)
    store = PgCheckpointer(database_url, redis_url=None)
    for thread, won in zip(threads, winners, strict=True):
        assert await answers(store, effects, thread) == won
    expected = [
        f"{t} {i} {name}" for t, won in zip(threads, winners, strict=True) for i, name in enumerate(won)
    ]
    assert Counter(effects.read_text().splitlines()) == Counter(expected)
    await store.aclose()


@pytest.mark.parametrize("redis", [True, False], ids=["redis", "postgres alone"])
async def test_races_by_plain_value(database_url: str, redis_url: str, redis: bool, tmp_path: Path) -> None:
    """Of two plain answers to the last question one counts, and the other is told that nothing waits."""
    effects = tmp_path / "effects"
    where = redis_url if redis else "none"
    racers = [await Other.start(database_url, where, str(effects)) for _ in range(2)]
    threads = [f"t{i}" for i in range(THREADS * ROUNDS)]
    racers[0].go([(thread, {"messages": "hello"}) for thread in threads])
    await racers[0].done()
    for racer in racers:
        racer.go([(thread, {"resume": "end"}) for thread in threads])
    for pair in zip(*await asyncio.gather(*(racer.done() for racer in racers)), strict=True):
        told = [one for one in pair if isinstance(one, str)]
        assert len(told) == 1, pair
        assert told[0] in TOLD
    for racer in racers:
        await racer.end()
    assert Counter(effects.read_text().splitlines()) == Counter(f"{thread} 0 end" for thread in threads)


@pytest.mark.leaves_connections
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_killed_process_took_its_answer(database_url: str, durability: str, tmp_path: Path) -> None:
    """The answer is stored before its node runs: who goes on uses it, and another one is refused."""
    effects = tmp_path / "effects"
    other = await Other.start(database_url, "none", str(effects), durability)
    other.go([("t", {"messages": "hello"})])
    [[asked]] = await other.done()
    other.go([("t", {"resume": {asked: "die"}})])
    assert await other.process.wait() == -9
    store = PgCheckpointer(database_url, redis_url=None)
    app = asking_app(store, effects)
    assert await seen(store) == ("running", [])
    with pytest.raises(InterruptAnsweredError):
        await app.ainvoke({"resume": {asked: "other"}}, T)
    assert await attempt(app, "t", {"resume": "other"}, "sync") == "NOTHING_TO_RESUME"
    [following] = await attempt(app, "t", None, durability)
    assert await answers(store, effects) == ["die"]
    assert await seen(store) == ("interrupted", [following])
    await attempt(app, "t", {"resume": "end", "resume_id": following}, "sync")
    assert await seen(store) == ("idle", [])
    assert effects.read_text().splitlines() == ["t 0 die", "t 0 die", "t 1 end"]
    await store.aclose()
