"""The statements and the schema as texts: every one is scoped, names come from numbers."""

import re
from importlib import resources

import pytest

from agentflow.storage.checkpointer import queries
from agentflow.storage.checkpointer.queries import QUERIES
from agentflow.storage.checkpointer.schema import LATEST_VERSION, partition_statements, schema_statements

TENANTS_ROWS = re.compile(
    r"\b(FROM|JOIN|INTO|UPDATE)\s+agentflow_(threads|checkpoints|messages|tool_calls|writes)\b"
)
# Housekeeping for all tenants at once, by a program that is no tenant's.
OVER_ALL = {"delete_expired", "idle_threads", "long_threads"}
# Where a principal narrows what there is; `create_thread` and `why_not` have it in their columns.
PRINCIPALS = [
    "load", "load_at", "history", "get_thread", "list_threads", "list_messages", "messages_page",
    "delete_thread", "request_stop", "stop_requested", "append", "append_messages", "append_edits",
    "append_tools", "start_tools", "finish_tools", "tool_calls",
    "search_threads", "count_threads", "delete_threads", "update_thread", "copy_thread",
    "lg_read", "lg_read_nested", "lg_namespace", "lg_list", "lg_put_writes", "lg_rows",
    "lg_rewrite", "lg_delete_unchanged", "lg_threads_of_runs",
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(QUERIES.keys() - OVER_ALL))
def test_each_table_is_bound_to_placement_and_tenant(name: str) -> None:
    """Per use of a table one placement and one tenant, as parameters: so the planner visits one leaf."""
    statement = QUERIES[name]
    uses = TENANTS_ROWS.findall(statement)
    inserts = [table for verb, table in uses if verb == "INTO"]
    for condition in (r"placement = \$1\b", r"tenant_id = (\$2\b|w\.tenant_id\b)"):
        assert len(re.findall(condition, statement)) >= len(uses) - len(inserts)
    for columns in re.findall(r"INSERT INTO agentflow_\w+ \(([^)]*)\)", statement):
        assert {"placement", "tenant_id"} <= set(re.split(r",\s*", columns))


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_no_pattern_meets_an_id(name: str) -> None:
    """Ids are compared, never matched."""
    assert not re.search(r"\bI?LIKE\b|~|SIMILAR", QUERIES[name], re.IGNORECASE)


@pytest.mark.parametrize("name", PRINCIPALS)
def test_principals_are_asked_for(name: str) -> None:
    by_parameter = r"\(\$(\d+)::text IS NULL OR (t\.)?user_id = \$\1\)"
    by_conflict = r"\(excluded\.user_id IS NULL OR t\.user_id = excluded\.user_id\)"
    assert re.search(f"{by_parameter}|{by_conflict}", QUERIES[name])


def test_names_are_used_once() -> None:
    """No file's statement hides another's."""
    folder = resources.files(queries.__package__)
    texts = [file.read_text() for file in folder.iterdir() if file.name.endswith(".sql")]
    names = [name for text in texts for name in re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)]
    assert sorted(names) == sorted(QUERIES)


def test_partitions_are_named_by_number() -> None:
    statements = partition_statements(12)
    assert all("{" not in statement for statement in statements)
    assert sum("ATTACH PARTITION" in statement for statement in statements) == 5
    with pytest.raises(ValueError, match="placement"):
        partition_statements(-1)


def test_every_version_has_its_statements() -> None:
    """And none needs an extension, or a default partition."""
    for version in range(1, LATEST_VERSION + 1):
        text = "\n".join(schema_statements(version, [0]))
        assert f"INSERT INTO agentflow_schema (version) VALUES ({version})" in text
        assert not re.search(
            r"CREATE EXTENSION|\bDEFAULT PARTITION|REFERENCES|PARTITION OF \w+ DEFAULT", text
        )
