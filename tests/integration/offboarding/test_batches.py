"""What a batch of a purge promises, and what it looks up."""

import re
import uuid
from importlib import resources

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer, Scope, schema
from agentflow_hosting import schema as of_hosting
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.moves.mover import ClaimLostError
from agentflow_tenancy.offboarding import Purge, Purger
from agentflow_tenancy.offboarding.records import Subject
from tests.integration.offboarding.conftest import Connection
from tests.support.leaving import rows_of, write_thread

MANY_KEYS = """
INSERT INTO agentflow_idempotency (tenant_id, key, fingerprint, effect_id, held_until)
SELECT $1, 'k' || n, '', gen_random_uuid(), now() FROM generate_series(1, 5000) n
"""


async def test_whose_claim_is_lost_deletes_nothing(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer
) -> None:
    """Somebody else works on it by now, or nobody does: every row is as it was."""
    tenant = await TenantRepository(engine).create_tenant("held-by-another")
    await write_thread(checkpointer, Scope(tenant.tenant_id, tenant.placement), "t", "text")
    before = await rows_of(owner, tenant.tenant_id)
    purge = Purge(Subject(tenant.tenant_id, tenant.slug), uuid.uuid4(), uuid.uuid4())
    with pytest.raises(ClaimLostError):
        await Purger(engine).purge_threads(purge, tenant.placement)
    assert await rows_of(owner, tenant.tenant_id) == before


async def test_the_end_of_a_tenant_reads_no_others_keys(engine: AsyncEngine, owner: Connection) -> None:
    """The foreign key of kept requests looks up, however many others keep."""
    gone: Tenant = await TenantRepository(engine).create_tenant("gone")
    busy = await TenantRepository(engine).create_tenant("busy")
    await owner.execute(MANY_KEYS, busy.tenant_id)
    await owner.execute("ANALYZE agentflow_idempotency")
    async with owner.transaction():
        await owner.execute("DELETE FROM agentflow_tenants WHERE tenant_id = $1", gone.tenant_id)
        read = await owner.fetchrow(
            "SELECT seq_tup_read, idx_scan FROM pg_stat_xact_user_tables"
            " WHERE relname = 'agentflow_idempotency'"
        )
    assert read is not None
    assert read["seq_tup_read"] == 0
    assert read["idx_scan"] > 0


def test_the_trigger_is_the_librarys_but_for_who_has_deleted_all_below() -> None:
    """The service replaces it: what the library changes later has to be changed there, too."""
    mine = _body(resources.files(of_hosting).joinpath("0016_pauses.sql").read_text())
    guard = re.compile(r"\s*IF coalesce\(current_setting\('agentflow.below_gone'.*?END IF;", re.DOTALL)
    assert guard.search(mine)
    assert guard.sub("", mine) == _body(resources.files(schema).joinpath("0005_archives.sql").read_text())


def _body(text: str) -> str:
    found = re.search(r"FUNCTION agentflow_delete_children\(\).*?\$\$(.*?)\$\$", text, re.DOTALL)
    assert found is not None
    return found[1]
