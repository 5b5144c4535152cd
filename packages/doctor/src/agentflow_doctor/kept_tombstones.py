"""Whether what must never come back is known outside of the database."""

import asyncio
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import AgentFlowError
from agentflow_doctor.findings import Finding, doubtful, well, wrong
from agentflow_tenancy.tombstones import BadTombstonesError, TombstoneFile, TombstoneRepository

_CHECK = "tombstones"


async def check_tombstones(engine: AsyncEngine, path: Path | None) -> Finding:
    """Hold the file against the database.

    Args:
        engine: Of the login that owns the tables.
        path: Of the file that the worker keeps; None when it keeps none.
    """
    if path is None:
        advice = "set AGENTFLOW_TOMBSTONES to a file on another disk, as in docs/guide/27-backup.md"
        return doubtful(_CHECK, "the worker keeps none outside of the database", advice)
    try:
        known = {one.receipt_id for one in await asyncio.to_thread(TombstoneFile(path).read)}
        missing = await TombstoneRepository(engine).receipt_ids() - known
    except BadTombstonesError as error:
        return wrong(_CHECK, f"{path}: {error}", "take the line out, or have the file written anew elsewhere")
    except OSError as error:
        return wrong(_CHECK, f"{path} cannot be read: {error.strerror}", "mount it, or put its rights right")
    except AgentFlowError as error:
        return wrong(
            _CHECK, f"could not be looked at: {error}", "put the address, the login or the server right"
        )
    if missing:
        advice = "let the worker run, or `agentflow-cloud restore export-tombstones` into it"
        return wrong(_CHECK, f"{len(missing)} tombstones are not in {path}", advice)
    return well(_CHECK, f"{len(known)} are in {path}")
