"""The library used alone, with tenants by name."""

import uuid

import pytest

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState
from agentflow.errors import InvalidIdError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.utils import END
from tests.support import databases


def graph(checkpointer: PgCheckpointer) -> CompiledGraph[AgentState]:
    built = StateGraph().add_node("MAIN", lambda _: "Noted.").set_entry_point("MAIN").add_edge("MAIN", END)
    return built.compile(checkpointer)


async def test_tenants_by_name_are_apart(migrated_database_url: str, redis_url: str) -> None:
    """The same thread id in two tenants is two threads; also as a login that row level security binds."""
    checkpointer = PgCheckpointer(databases.app_url(migrated_database_url), redis_url)
    app = graph(checkpointer)
    for name in ("acme", "umbrella", None):
        await app.ainvoke({"messages": f"of {name}"}, {"thread_id": "t", "tenant_id": name})
    for name in ("acme", "umbrella", None):
        state = await app.aget_state({"thread_id": "t", "tenant_id": name})
        assert state is not None
        assert state.context[0].text() == f"of {name}"
    assert await app.aget_state({"thread_id": "t", "tenant_id": "acme "}) is None
    assert len(await checkpointer.list_threads(Scope.of_tenant("acme"))) == 1
    await checkpointer.aclose()


def test_a_name_stands_for_one_tenant() -> None:
    """A UUID for itself, however it is written; a bound scope wins over a name."""
    tenant = uuid.uuid4()
    assert Scope.of_tenant(str(tenant)) == Scope.of_tenant(tenant.hex.upper()) == Scope(tenant)
    assert Scope.of_tenant("acme") == Scope.of_tenant("acme")
    assert len({Scope.of_tenant(name) for name in ("acme", "Acme", "acme ", "ácme", "a\u0301cme")}) == 5


async def test_what_is_no_name_is_refused(database_url: str) -> None:
    """As for other ids, before anything is stored."""
    checkpointer = PgCheckpointer(database_url, None)
    for name in ("a\0b", "x" * 300, 1.5):
        with pytest.raises(InvalidIdError, match="tenant_id"):
            await graph(checkpointer).ainvoke({"messages": "hi"}, {"thread_id": "t", "tenant_id": name})
    await checkpointer.aclose()
