"""Whoever applies tombstones and dies: `python -m tests.support.dying_restorer DB TENANT STATEMENT [USER]`.

Before it sends the statement of that name, of its own or of the purge, it kills itself as a failing machine
would.
"""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from agentflow_hosting.leaving import AnswersPlace, RunQueuePlace
from agentflow_tenancy.offboarding.records import user_digest
from agentflow_tenancy.tombstones import Tombstone, TombstoneRepository, repository
from tests.support.dying_offboarding import Doom, arm

# As a server says that was started by the script that restores.
RESTORED = {"server_settings": {"agentflow.restore": "r-1"}}
RECEIPT = uuid.UUID(int=7)


def applying(engine: Any) -> TombstoneRepository:
    """As the command has it."""
    return TombstoneRepository(engine, [RunQueuePlace(engine), AnswersPlace(engine)])


def tombstone_of(tenant_id: uuid.UUID, user_id: str | None = None) -> Tombstone:
    """Of a tenant that left, or of its user."""
    digest = None if user_id is None else user_digest(tenant_id, user_id)
    return Tombstone(tenant_id, digest, datetime.now(UTC), RECEIPT)


async def main(arguments: Sequence[str]) -> None:
    """Apply one, as far as it goes."""
    url, tenant_id, doomed, *of_user = arguments
    if of_user:
        arm(Doom(doomed, 1))
    execute = repository._execute

    async def watched(connection: AsyncConnection, name: str, table: str = "", **values: Any) -> int:
        if f"{name} {table}".strip() == doomed:
            os.kill(os.getpid(), signal.SIGKILL)
        return await execute(connection, name, table, **values)

    repository._execute = watched
    await applying(create_async_engine(url, connect_args=RESTORED)).apply(
        [tombstone_of(uuid.UUID(tenant_id), *of_user)]
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
