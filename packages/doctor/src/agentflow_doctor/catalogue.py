"""What the database's catalogue says: versions, walls between tenants, partitions, triggers."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from agentflow.storage.checkpointer.schema import LATEST_VERSION
from agentflow_doctor.findings import Finding, doubtful, well, wrong
from agentflow_doctor.queries import QUERIES

_SHOWN = 5


async def rows(connection: AsyncConnection, name: str) -> Sequence[RowMapping]:
    """What a statement without parameters finds."""
    return (await connection.execute(QUERIES[name])).mappings().all()


async def check_versions(connection: AsyncConnection, configuration: Path) -> Finding:
    """Whether every migration of this tree was applied, and no newer one.

    Args:
        connection: Of a login that sees the schema.
        configuration: Of the migrations of the code that is to run.
    """
    check = "migrations"
    if not (await rows(connection, "has_schema"))[0]["found"]:
        return wrong(check, "the database has no schema", "run `agentflow-cloud migrate`")
    found = (await rows(connection, "versions"))[0]
    heads, known = _revisions(configuration)
    applied = set(found["migrations"] or ())
    if applied == heads and found["library"] == LATEST_VERSION:
        return well(check, f"at {', '.join(sorted(applied))}, the newest")
    if applied <= known and (found["library"] or 0) <= LATEST_VERSION:
        at = ", ".join(sorted(applied)) or "nothing"
        return wrong(check, f"at {at}, behind {', '.join(sorted(heads))}", "run `agentflow-cloud migrate`")
    return wrong(
        check,
        f"at {', '.join(sorted(applied))}, which this version does not know",
        "run the version of the services that made the schema, or a newer one",
    )


async def check_row_security(connection: AsyncConnection) -> Finding:
    """Whether each table of tenants' content is behind row level security."""
    return _of_names(
        "row security",
        [row["name"] for row in await rows(connection, "open_tables")],
        "forced on every table of tenants' content",
        "row level security is not forced on {}",
        "for each: ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; find out who changed it",
    )


async def check_leaf_rights(connection: AsyncConnection) -> Finding:
    """Whether nobody has a right on a leaf, which no policy narrows."""
    found = [f"{row['name']} ({row['grantee']})" for row in await rows(connection, "leaf_rights")]
    return _of_names(
        "leaf rights",
        found,
        "nobody but the owner has a right on a partition",
        "rights on partitions go round row level security: {}",
        "REVOKE ALL ON the partition FROM the role",
    )


async def check_partitions(connection: AsyncConnection) -> Finding:
    """Whether each placement is whole, and attached."""
    return _of_names(
        "partitions",
        [row["fault"] for row in await rows(connection, "partition_faults")],
        "each placement has its leaves",
        "{}",
        "half detached: let the worker run; a DEFAULT partition: detach it; otherwise restore the leaf",
    )


async def check_triggers(connection: AsyncConnection) -> Finding:
    """Whether deleting a thread deletes what is below it."""
    return _of_names(
        "triggers",
        [row["name"] for row in await rows(connection, "trigger_faults")],
        "deleting a thread deletes what is below it",
        "deleting threads would leave rows behind: no trigger at {}",
        "for each: ALTER TABLE ... ENABLE TRIGGER agentflow_delete_children, then look at `orphan rows`",
    )


async def check_indexes(connection: AsyncConnection) -> Finding:
    """Whether every index can be used."""
    return _of_names(
        "indexes",
        [row["name"] for row in await rows(connection, "invalid_indexes")],
        "every index is valid",
        "invalid indexes: {}",
        "REINDEX INDEX CONCURRENTLY each",
    )


async def check_functions(connection: AsyncConnection) -> Finding:
    """Whether the triggers plan for the partition they touch."""
    return _of_names(
        "trigger plans",
        [row["name"] for row in await rows(connection, "functions_without_plans")],
        "triggers plan for the partition they touch",
        "would lock every partition: {}",
        "for each: ALTER FUNCTION ... SET plan_cache_mode = 'force_custom_plan'",
    )


async def check_archiving(connection: AsyncConnection) -> Finding:
    """Whether the database can be restored to any moment."""
    check, found = "backup", (await rows(connection, "archiving"))[0]
    if found["mode"] == "off":
        advice = "set archive_mode and archive_command as in docs/guide/27-backup.md"
        return doubtful(check, "WAL is not archived: no restore to a point in time", advice)
    if found["fails"]:
        advice = (
            "make room in the archive, or put archive_command right: WAL stays with the server until then"
        )
        return wrong(check, f"archiving fails, last with {found['last_failed_wal']}", advice)
    return well(check, f"{found['archived_count']} WAL files archived")


async def check_restore(connection: AsyncConnection) -> Finding:
    """Whether a restored backup had its tombstones applied."""
    pending = await rows(connection, "restore_pending")
    if pending:
        advice = "run `agentflow-cloud restore apply-tombstones FILE`; nobody is served before"
        return wrong(
            "restore", f"the tombstones of restore {pending[0]['restore_id']} are not applied", advice
        )
    return well("restore", "no restore waits for its tombstones")


def _of_names(check: str, names: Sequence[str], fine: str, fault: str, advice: str) -> Finding:
    if not names:
        return well(check, fine)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return wrong(check, fault.format(", ".join(names[:_SHOWN]) + more), advice)


def _revisions(configuration: Path) -> tuple[set[str], set[str]]:
    """The newest revisions, and all that are known."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(Config(str(configuration)))
    return set(scripts.get_heads()), {script.revision for script in scripts.walk_revisions()}
