"""What our LangGraph saver promises beyond LangGraph's own suite: cases for any kind of it."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple
from langgraph.checkpoint.conformance.test_utils import generate_checkpoint, generate_metadata

from agentflow.errors import ConflictError, CorruptStateError, NotFoundError, StaleCheckpointError
from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.storage.checkpointer import PgCheckpointer, Scope

TABLES = ("threads", "checkpoints", "messages", "writes")
AWKWARD = ["a", "a:b", "a%", "a_", "ab", "%", "_", "A", "a|b", "a\\", "a'--"]


@dataclass
class Home:
    """A database and the kind of saver under test; each call of `saver` is a new process, as it were."""

    database_url: str
    kind: type[AgentFlowSaver]
    checkpointer: PgCheckpointer = field(init=False)

    def __post_init__(self) -> None:
        self.checkpointer = PgCheckpointer(self.database_url, None)

    def saver(self, scope: Scope | None = None) -> AgentFlowSaver:
        return self.kind(self.checkpointer, scope=scope)

    async def sql(self, statement: str, *arguments: Any) -> Any:
        connection = await asyncpg.connect(self.database_url.replace("+asyncpg", ""))
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def rows(self) -> dict[str, int]:
        """How many rows each table holds."""
        return {
            table: (await self.sql(f"SELECT count(*) AS n FROM agentflow_{table}"))[0]["n"]
            for table in TABLES
        }


Case = Callable[[Home], Awaitable[None]]


class Cases(list[Case]):
    """The contract's cases, in order."""

    def add(self, function: Case) -> Case:
        self.append(function)
        return function


CASES = Cases()


def config(thread_id: str = "t", checkpoint_id: str | None = None, namespace: str = "") -> Any:
    where = {"thread_id": thread_id, "checkpoint_ns": namespace}
    return {"configurable": where | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}


def checkpoint(**values: Any) -> Checkpoint:
    return generate_checkpoint(
        channel_values=values, channel_versions={name: str(uuid.uuid4()) for name in values}
    )


async def put(
    saver: AgentFlowSaver,
    where: Any,
    *,
    namespace: str = "",
    meta: dict[str, Any] | None = None,
    **values: Any,
) -> Any:
    """Put a new checkpoint whose parent is the one in `where`."""
    made = checkpoint(**values)
    versions = made["channel_versions"]
    return await saver.aput(where, made, generate_metadata(**(meta or {})), versions)


async def all_of(saver: AgentFlowSaver, where: Any = None, **query: Any) -> list[CheckpointTuple]:
    return [found async for found in saver.alist(where, **query)]


async def outcome(work: Coroutine[Any, Any, Any]) -> Any:
    """What a run of its own comes to: its result, or the error it met."""
    try:
        return await asyncio.create_task(work)
    except (ConflictError, NotFoundError) as error:
        return error


def talk(*texts: str) -> list[AnyMessage]:
    return [HumanMessage(text, id=text) for text in texts]


@CASES.add
async def another_process_reads_it(home: Home) -> None:
    """What one saver acknowledged another finds, whole."""
    messages = [*talk("hello"), AIMessage("hi", id="2", additional_kwargs={"raw": b"\0\1", "at": [1, 2.0]})]
    where = await put(home.saver(), config(), meta={"run_id": "r", "tags": ["x"]}, messages=messages, n=1)
    await home.saver().aput_writes(where, [("n", 2)], "task")
    found = await home.saver().aget_tuple(config())
    assert found is not None
    assert found.config == where
    assert found.checkpoint["channel_values"] == {"messages": messages, "n": 1}
    assert found.pending_writes == [("task", "n", 2)]
    assert (await home.rows()) == {"threads": 1, "checkpoints": 1, "messages": 2, "writes": 1}


@CASES.add
async def ids_are_opaque(home: Home) -> None:
    """Thread ids are compared byte by byte, whatever is in them; deleting one leaves the others."""
    saver = home.saver()
    for thread_id in AWKWARD:
        await put(saver, config(thread_id), owner=thread_id)
    for thread_id in AWKWARD:
        found = await home.saver().aget_tuple(config(thread_id))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"owner": thread_id}
        assert len(await all_of(home.saver(), config(thread_id))) == 1
    assert await home.saver().aget_tuple(config("*")) is None
    await saver.adelete_thread("a")
    await saver.adelete_thread("%")
    left = {found.config["configurable"]["thread_id"] for found in await all_of(home.saver())}
    assert left == set(AWKWARD) - {"a", "%"}


@CASES.add
async def tenants_never_meet(home: Home) -> None:
    """The same thread ids in two tenants: nothing of one is read, listed, copied or deleted by the other."""
    one, two = (home.saver(Scope(tenant_id=uuid.uuid4())) for _ in range(2))
    where = config()
    for thread_id in ("t", "only-one"):
        where = await put(one, config(thread_id), meta={"run_id": "run"}, owner="one", messages=talk("one"))
    assert isinstance(await outcome(two.aput_writes(where, [("owner", "two")], "task")), NotFoundError)
    assert await two.aget_tuple(config("only-one")) is None
    assert await two.aget_tuple(where) is None
    mine = await put(two, config(), meta={"run_id": "run"}, owner="two")
    assert [found.checkpoint["channel_values"]["owner"] for found in await all_of(two)] == ["two"]
    assert isinstance(await outcome(two.acopy_thread("only-one", "stolen")), NotFoundError)
    before = await all_of(one)
    await two.aprune(["t", "only-one"], strategy="delete")
    await put(two, config(), meta={"run_id": "run"}, owner="two")
    await two.adelete_for_runs(["run"])
    assert await two.aget_tuple(mine) is None
    assert await all_of(one) == before


@CASES.add
async def of_two_writers_one_wins(home: Home) -> None:
    """Two runs that read the same checkpoint: one put goes through, the other is told."""
    start = await put(home.saver(), config(), n=0)
    ready = asyncio.Barrier(2)

    async def run(name: str) -> Any:
        saver = home.saver()
        found = await saver.aget_tuple(config())
        assert found is not None
        await ready.wait()
        return await put(saver, found.config, n=name)

    outcomes = await asyncio.gather(*(outcome(run(name)) for name in "ab"))
    assert sorted(isinstance(one, StaleCheckpointError) for one in outcomes) == [False, True]
    assert len(await all_of(home.saver(), config())) == 2
    last = await home.saver().aget_tuple(config())
    assert last is not None
    assert last.parent_config == start


@CASES.add
async def of_two_first_writers_one_wins(home: Home) -> None:
    """Also when the thread was new to both, and both use one saver."""
    saver, ready = home.saver(), asyncio.Barrier(2)

    async def run(name: str) -> Any:
        assert await saver.aget_tuple(config()) is None
        await ready.wait()
        return await put(saver, config(), n=name)

    outcomes = await asyncio.gather(*(outcome(run(name)) for name in "ab"))
    assert sorted(isinstance(one, StaleCheckpointError) for one in outcomes) == [False, True]
    assert len(await all_of(home.saver(), config())) == 1


@CASES.add
async def a_fork_on_purpose_is_taken(home: Home) -> None:
    """Who read an old checkpoint and the thread as it is may begin a new line; of two only one."""
    saver = home.saver()
    first = await put(saver, config(), n=1)
    second = await put(saver, first, n=2)
    ready = asyncio.Barrier(2)

    async def run(name: str) -> Any:
        other = home.saver()
        assert await other.aget_tuple(first) is not None
        await ready.wait()
        return await put(other, first, n=name)

    outcomes = await asyncio.gather(*(outcome(run(name)) for name in "ab"))
    assert sorted(isinstance(one, StaleCheckpointError) for one in outcomes) == [False, True]
    found = await home.saver().aget_tuple(second)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"n": 2}


@CASES.add
async def an_interleaved_run_is_told(home: Home) -> None:
    """Two runs in one task, one inside the other's stream: the outer one was overtaken, and learns it."""
    saver = home.saver()
    outer = await put(saver, config(), n=0)
    for n in (1, 2):
        found = await saver.aget_tuple(config())
        assert found is not None
        await put(saver, found.config, n=n)
    assert isinstance(await outcome(put(saver, outer, n=3)), StaleCheckpointError)
    assert len(await all_of(home.saver(), config())) == 3


@CASES.add
async def a_late_put_is_refused(home: Home) -> None:
    """A run whose thread was deleted stores nothing, neither in the graph's namespace nor in a nested one."""
    saver = home.saver()
    await put(saver, config(), n=1)
    found = await saver.aget_tuple(config())
    assert found is not None
    assert await saver.aget_tuple(config(namespace="inner:1")) is None
    await home.saver().adelete_thread("t")
    for where in (found.config, config(namespace="inner:1")):
        assert isinstance(await outcome(put(saver, where, n=2)), StaleCheckpointError)
    assert set((await home.rows()).values()) == {0}


@CASES.add
async def a_late_write_is_refused(home: Home) -> None:
    """Nor does its pending write: no orphan, and nothing in a thread that was made anew under the id."""
    saver = home.saver()
    await put(saver, config(), n=1)
    found = await saver.aget_tuple(config())
    assert found is not None
    await home.saver().adelete_thread("t")
    assert isinstance(await outcome(saver.aput_writes(found.config, [("n", 2)], "task")), NotFoundError)
    assert set((await home.rows()).values()) == {0}
    await asyncio.create_task(put(home.saver(), config(), n=3))
    assert isinstance(await outcome(saver.aput_writes(found.config, [("n", 2)], "task")), NotFoundError)
    assert (await home.rows())["writes"] == 0


@CASES.add
async def history_is_exact(home: Home) -> None:
    """Each version shows its own messages and values: appended, edited, removed, changed in place."""
    saver = home.saver()
    where, states = config(), []
    live = talk("a", "b")
    for change in ("", "append", "edit", "in place", "nested", "remove", "clear"):
        if change == "append":
            live = [*live, AIMessage("c", id="c", additional_kwargs={"list": [1]})]
        elif change == "edit":
            live = [HumanMessage("A", id="a"), *live[1:]]
        elif change == "in place":
            live[1].content = "B"
        elif change == "nested":
            live[2].additional_kwargs["list"].append({"x": True})
        elif change in {"remove", "clear"}:
            live = live[1:] if change == "remove" else []
        where = await put(saver, where, messages=live, change=change)
        states.append((where, [message.model_copy(deep=True) for message in live], change))
    for at, messages, change in states:
        found = await home.saver().aget_tuple(at)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"messages": messages, "change": change}
    listed = [found.checkpoint["channel_values"] for found in await all_of(home.saver(), config())]
    assert listed == [{"messages": one, "change": name} for _, one, name in reversed(states)]


@CASES.add
async def filters_are_compared(home: Home) -> None:
    """Metadata filters are values, not patterns and not SQL; all keys must match; limits hold behind them."""
    saver = home.saver()
    odd = "%' OR true --"
    where = config()
    for step in range(40):
        where = await put(saver, where, meta={"step": step, odd: odd if step % 4 == 0 else "x", "flag": True})
    assert len(await all_of(home.saver(), config(), filter={odd: odd})) == 10
    assert len(await all_of(home.saver(), config(), filter={odd: odd}, limit=7)) == 7
    assert [found.metadata["step"] for found in await all_of(saver, filter={odd: odd, "step": 8})] == [8]
    assert len(await all_of(home.saver(), config(), limit=33)) == 33
    for nothing in ({odd: "%"}, {"flag": 1}, {"absent": None}, {"step": "8"}, {"step": 10**30}):
        assert await all_of(home.saver(), config(), filter=nothing) == []


@CASES.add
async def deleting_runs_leaves_the_rest(home: Home) -> None:
    """Checkpoints of other runs stay as they were, in every namespace; what comes next builds on them."""
    saver = home.saver()
    where, inner = config(), config(namespace="inner")
    for i in range(70):
        meta = {"step": i, "run_id": "drop" if i % 7 in {0, 3} or i > 66 else "keep"}
        texts = [f"m{n}" for n in range(i) if n % 3 or i < 35]
        where = await put(saver, where, meta=meta, messages=talk(*texts), n=i, spread={str(i % 5): i})
        if i % 10 == 0:
            inner = await put(saver, inner, meta=meta | {"parents": {"": "other"}}, n=i)
    await saver.aput_writes(where, [("n", 1)], "task")
    kept = [found for found in await all_of(home.saver()) if found.metadata["run_id"] == "keep"]
    await home.saver().adelete_for_runs(["drop", "none"])
    assert await all_of(home.saver()) == kept
    assert (await home.rows())["writes"] == 0
    last = next(found for found in kept if found.config["configurable"]["checkpoint_ns"] == "")
    found = await home.saver().aget_tuple(config())
    assert found == last
    after = await put(saver, last.config, meta={"run_id": "next"}, messages=talk("m1", "new"), n=-1)
    read = await home.saver().aget_tuple(after)
    assert read is not None
    assert read.checkpoint["channel_values"] == {"messages": talk("m1", "new"), "n": -1}
    await home.saver().adelete_for_runs(["keep", "next"])
    assert set((await home.rows()).values()) == {0}


@CASES.add
async def pruning_keeps_the_latest(home: Home) -> None:
    """One checkpoint a namespace stays as it was, with its writes; what nobody shows any more is gone."""
    saver = home.saver()
    where = nested = config()
    for i in range(40):
        where = await put(saver, where, messages=talk("a", str(i)), n=i)
        nested = await put(saver, config(namespace=f"in:{i % 2}"), n=i)
        await saver.aput_writes(where, [("n", i)], "task")
    other = await put(saver, config("other"), n=1)
    before = [await home.saver().aget_tuple(one) for one in (where, nested, other)]
    await home.saver().aprune(["t", "absent"])
    assert [await home.saver().aget_tuple(one) for one in (where, nested, other)] == before
    assert (await home.rows()) == {"threads": 2, "checkpoints": 4, "messages": 2, "writes": 1}
    assert await put(saver, where, messages=talk("a", "39", "more"), n=40)
    assert len(await all_of(home.saver(), config())) == 2


@CASES.add
async def copies_are_whole(home: Home) -> None:
    """A copy has the history and the pending writes, and a life of its own; it never lands on a thread."""
    saver = home.saver()
    first = await put(saver, config("s"), messages=talk("a"), n=1)
    last = await put(saver, first, messages=talk("a", "b"), n=2)
    await saver.aput_writes(last, [("n", 3)], "task")
    await saver.acopy_thread("s", "d")
    await saver.adelete_thread("s")
    found = await all_of(home.saver(), config("d"))
    assert [one.checkpoint["channel_values"]["messages"] for one in found] == [talk("a", "b"), talk("a")]
    assert found[0].pending_writes == [("task", "n", 3)]
    await put(saver, config("d2"), n=1)
    assert isinstance(await outcome(saver.acopy_thread("d", "d2")), ConflictError)


@CASES.add
async def nothing_stored_is_executed(home: Home) -> None:
    """Whoever can write to the tables cannot choose what a reader calls."""
    import ormsgpack

    where = await put(home.saver(), config(), n=1)
    call = ormsgpack.Ext(0, ormsgpack.packb(("builtins", "print", "executed")))
    await home.saver().aput_writes(where, [("n", 1)], "task")
    await home.sql("UPDATE agentflow_writes SET value = $1", ormsgpack.packb(call))
    found = await home.saver().aget_tuple(config())
    assert found is not None
    assert found.pending_writes == [("task", "n", "executed")]
    for kind in ("pickle", "json", "unknown"):
        await home.sql("UPDATE agentflow_writes SET kind = $1", kind)
        try:
            await home.saver().aget_tuple(config())
        except CorruptStateError:
            continue
        raise AssertionError(kind)
