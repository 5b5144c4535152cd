"""Schema and statements stay fit for an engine that distributes rows by tenant: see docs/decisions/0012."""

import re
from importlib import resources

import pytest

from agentflow.storage.checkpointer import schema
from agentflow.storage.checkpointer.queries import QUERIES
from agentflow.storage.checkpointer.schema import LATEST_VERSION, schema_statements

STATEMENTS = [
    statement for version in range(1, LATEST_VERSION + 1) for statement in schema_statements(version, [0])
]
SCHEMA = "\n".join(STATEMENTS)
PARTITIONED = [
    found.groups()
    for statement in STATEMENTS
    if (
        found := re.search(
            r"CREATE TABLE (\w+) \((.*)\) PARTITION BY LIST \(placement\)", statement, re.DOTALL
        )
    )
]


def test_every_key_begins_with_the_tenant() -> None:
    """Of tables that hold a tenant's rows; and none is unique across tenants."""
    assert {name for name, _ in PARTITIONED} == {
        "agentflow_threads", "agentflow_checkpoints", "agentflow_messages", "agentflow_tool_calls",
        "agentflow_writes",
    }  # fmt: skip
    for name, body in PARTITIONED:
        keys = re.findall(r"PRIMARY KEY \((\w+)", body)
        assert keys == ["tenant_id"], name
    for table, columns in re.findall(r"CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) \((\w+)", SCHEMA):
        assert columns == "tenant_id", table


def test_partitioned_tables_refer_to_nothing() -> None:
    """No foreign keys: they would refuse to detach a partition, and cross tenants."""
    for name, body in PARTITIONED:
        assert "REFERENCES" not in body, name


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_nothing_is_locked_or_told_across_tenants(name: str) -> None:
    """No advisory lock and no NOTIFY on the way of data; only making the schema takes a lock."""
    if name != "schema_lock":
        assert not re.search(r"advisory|LISTEN|NOTIFY", QUERIES[name])


def test_an_upsert_takes_its_time_from_the_row() -> None:
    """`now()` on the conflicting side is refused where the row lives elsewhere."""
    for name, text in QUERIES.items():
        for change in re.findall(r"DO UPDATE\s+SET(.*?)(?:WHERE|RETURNING|\n\)|$)", text, re.DOTALL):
            assert "now()" not in change, name


def test_children_go_tenant_by_tenant() -> None:
    """The trigger that deletes what hangs below threads loops over tenants and placements, both bound."""
    file = resources.files(schema).joinpath("0005_archives.sql").read_text()
    body = re.search(r"agentflow_delete_children.*?\$\$(.*?)\$\$", file, re.DOTALL)
    assert body is not None
    assert "GROUP BY tenant_id, placement" in body[1]
    deletes = re.findall(r"DELETE FROM (\w+) \w+\s+WHERE (.*?);", body[1], re.DOTALL)
    assert len(deletes) == 4
    for _, condition in deletes:
        assert "tenant_id = life.tenant_id" in condition
        assert "placement = life.placement" in condition


def test_thread_numbers_are_never_an_order() -> None:
    """They come from whichever node; who orders by them orders by chance."""
    for name, text in QUERIES.items():
        for order in re.findall(r"ORDER BY (.*?)(?:LIMIT|\)|$)", text, re.DOTALL):
            first = order.split(",")[0]
            assert "thread_no" not in first, name
