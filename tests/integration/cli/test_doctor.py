"""`agentflow-cloud doctor`: whole deployments are told from others, and what to do is said."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from agentflow_embedded import EmbeddedValkey
from tests.support import databases

CHECKS = {
    "migrations", "restore", "row security", "leaf rights", "partitions", "triggers", "trigger plans",
    "indexes", "connections", "clock", "backup", "tombstones", "orphan rows", "role", "plan_cache_mode",
    "redis", "redis eviction", "redis clock",
}  # fmt: skip
ORPHAN = """
INSERT INTO agentflow_messages
    (thread_no, placement, pos, seq, content_kind, tenant_id, message_id, role, content)
VALUES (4711, 3, 0, 1, 0, gen_random_uuid(), 'm', 'user', 'left behind')
"""
HOMELESS = "INSERT INTO agentflow_tenants (slug, placement) VALUES ('homeless', 7777)"


def doctor(
    database_url: str, redis_url: str | None, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AGENTFLOW_")}
    given = {
        "AGENTFLOW_OPERATIONS_DATABASE_URL": database_url,
        "AGENTFLOW_DATABASE_URL": databases.app_url(database_url),
        "AGENTFLOW_REDIS_URL": redis_url or "none",
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-m", "agentflow_cloud", "doctor", *words],
        env={**clean, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def findings(
    database_url: str, redis_url: str | None, *words: str, code: int, **environment: str
) -> dict[str, dict[str, Any]]:
    """By check; the exit code must be as said."""
    done = doctor(database_url, redis_url, "--json", *words, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""
    return {one["check"]: one for one in json.loads(done.stdout)}


async def _execute(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_a_whole_deployment(migrated_database_url: str, redis_url: str) -> None:
    """Everything is looked at, nothing is wrong; no password is shown."""
    found = findings(migrated_database_url, redis_url, code=0)
    assert found.keys() == CHECKS
    assert {one["level"] for one in found.values()} <= {"ok", "warning"}
    assert all(bool(one["advice"]) == (one["level"] != "ok") for one in found.values())
    done = doctor(migrated_database_url, redis_url)
    assert done.returncode == 0
    assert "0 wrong" in done.stdout.splitlines()[-1]
    assert str(make_url(migrated_database_url).password) not in done.stdout


@pytest.mark.parametrize(
    ("statement", "check", "words"),
    [
        ("ALTER TABLE agentflow_runs NO FORCE ROW LEVEL SECURITY", "row security", "agentflow_runs"),
        ("ALTER TABLE agentflow_threads DISABLE ROW LEVEL SECURITY", "row security", "agentflow_threads"),
        ("GRANT SELECT ON agentflow_messages_p1 TO agentflow_app", "leaf rights", "agentflow_messages_p1"),
        ("GRANT SELECT ON agentflow_threads_p2 TO PUBLIC", "leaf rights", "PUBLIC"),
        ("ALTER TABLE agentflow_threads_p2 DISABLE TRIGGER ALL", "triggers", "agentflow_threads_p2"),
        ("DROP TRIGGER agentflow_delete_children ON agentflow_threads", "triggers", "agentflow_threads"),
        (ORPHAN, "orphan rows", "1 messages"),
        ("UPDATE alembic_version SET version_num = '9999'", "migrations", "9999"),
        ("UPDATE alembic_version SET version_num = '0024'", "migrations", "behind"),
        ("DROP TABLE alembic_version", "migrations", "no schema"),
        ("ALTER FUNCTION agentflow_delete_runs() RESET ALL", "trigger plans", "agentflow_delete_runs"),
        ("ALTER TABLE agentflow_writes DETACH PARTITION agentflow_writes_p3", "partitions", "placement 3"),
        ("CREATE TABLE agentflow_rest PARTITION OF agentflow_writes DEFAULT", "partitions", "DEFAULT"),
        (HOMELESS, "partitions", "homeless"),
    ],
)
def test_what_is_wrong_in_the_database(
    migrated_database_url: str, statement: str, check: str, words: str
) -> None:
    """Each is found by its check, with what to do."""
    databases.run(_execute(migrated_database_url, statement))
    found = findings(migrated_database_url, None, code=1)[check]
    assert found["level"] == "error"
    assert words in found["found"]
    assert found["advice"]


def test_the_file_of_tombstones(migrated_database_url: str, tmp_path: Path) -> None:
    """Is held against the database."""
    file = tmp_path / "tombstones.jsonl"
    receipt = (
        "INSERT INTO agentflow_receipts (receipt_id, sequence, issued_at, tenant_id, body, jws, key_id)"
        " VALUES (gen_random_uuid(), 1, now(), gen_random_uuid(), '', '', '')"
    )
    stone = (
        "INSERT INTO agentflow_tombstones (receipt_id, tenant_id, purged_at)"
        " SELECT receipt_id, tenant_id, now() FROM agentflow_receipts"
    )
    assert findings(migrated_database_url, None, code=0)["tombstones"]["level"] == "warning"
    kept = {"AGENTFLOW_TOMBSTONES": str(file)}
    assert findings(migrated_database_url, None, code=0, **kept)["tombstones"]["level"] == "ok"
    for statement in (receipt, stone):
        databases.run(_execute(migrated_database_url, statement))
    found = findings(migrated_database_url, None, code=1, **kept)["tombstones"]
    assert "1 tombstones are not in" in found["found"]
    file.write_text("{}\n")
    assert "Line 1" in findings(migrated_database_url, None, code=1, **kept)["tombstones"]["found"]
    command = [sys.executable, "-m", "agentflow_cloud", "restore", "export-tombstones", str(tmp_path / "new")]
    environment = {**os.environ, "AGENTFLOW_OPERATIONS_DATABASE_URL": migrated_database_url}
    for _ in range(2):
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    assert len((tmp_path / "new").read_text().splitlines()) == 1
    kept = {"AGENTFLOW_TOMBSTONES": str(tmp_path / "new")}
    assert findings(migrated_database_url, None, code=0, **kept)["tombstones"]["level"] == "ok"


def test_too_few_connections(migrated_database_url: str) -> None:
    """By what the services' settings come to."""
    found = findings(migrated_database_url, None, code=1, AGENTFLOW_REPLICAS="100")["connections"]
    assert "up to 7400 of" in found["found"]
    assert "max_connections" in found["advice"]


def test_a_login_that_sees_everything(migrated_database_url: str) -> None:
    """Must not be the API's."""
    found = findings(migrated_database_url, None, code=1, AGENTFLOW_DATABASE_URL=migrated_database_url)
    assert found["role"]["level"] == "error"
    assert "agentflow-cloud login" in found["role"]["advice"]


def test_a_look_that_takes_too_long(migrated_database_url: str) -> None:
    """Is no finding of orphans, and none of health either."""
    databases.run(_execute(migrated_database_url, ORPHAN))
    lock = "LOCK TABLE agentflow_run_chunks IN ACCESS EXCLUSIVE MODE"

    async def held() -> dict[str, dict[str, Any]]:
        connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
        try:
            async with connection.transaction():
                await connection.execute(lock)
                return findings(migrated_database_url, None, "--orphans-within", "0.1", code=0)
        finally:
            await connection.close()

    assert databases.run(held())["orphan rows"]["level"] == "warning"


@pytest.mark.own_server
def test_a_redis_that_evicts(migrated_database_url: str, redis_url: str, state_dir: Any) -> None:
    """Loses locks, or what tenants have spent; without a bound it is to be looked after."""
    with EmbeddedValkey(state_dir, policy="allkeys-lru") as evicting:
        found = findings(migrated_database_url, evicting.url, code=1)
        assert found["redis eviction"]["level"] == "error"
        assert "lock" in found["redis eviction"]["found"]
        found = findings(migrated_database_url, redis_url, code=1, AGENTFLOW_QUOTA_REDIS_URL=evicting.url)
        assert found["quota redis eviction"]["level"] == "error"
        url = evicting.url
    found = findings(migrated_database_url, url, code=1)
    assert found["redis"]["level"] == "error"
    assert "no answer" in found["redis"]["found"]


def test_nothing_to_look_at(state_dir: Any) -> None:
    """Says what to set; exit code 1, no traceback."""
    nowhere = {"AGENTFLOW_OPERATIONS_DATABASE_URL": "", "AGENTFLOW_STATE_DIR": str(state_dir)}
    done = doctor("postgresql://x/x", None, **nowhere)
    assert done.returncode == 1
    assert "Set AGENTFLOW_OPERATIONS_DATABASE_URL" in done.stderr
    gone = "postgresql+asyncpg://u:secret-word@127.0.0.1:1/x"
    done = doctor(gone, None)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "secret-word" not in done.stdout + done.stderr
