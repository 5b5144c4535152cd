"""Rows whose thread or run is gone: nothing should leave any."""

from collections import Counter

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_doctor.catalogue import rows
from agentflow_doctor.findings import Finding, doubtful, well, wrong
from agentflow_doctor.queries import QUERIES

_CHECK = "orphan rows"


async def check_orphans(engine: AsyncEngine, *, most_s: float) -> Finding:
    """Look through every partition.

    Args:
        engine: Of a login that sees every tenant.
        most_s: Seconds that each partition may take.

    Cost: reads every table once.
    """
    found: Counter[str] = Counter()
    try:
        with translated():
            async with engine.begin() as connection:
                await _limit(connection, most_s)
                places = [row["placement"] for row in await rows(connection, "placements")]
                found.update(dict((await rows(connection, "orphans_of_runs"))[0]))
            for placement in places:
                async with engine.begin() as connection:
                    await _limit(connection, most_s)
                    done = await connection.execute(QUERIES["orphans_of_placement"], {"placement": placement})
                    found.update(dict(done.mappings().one()))
    except StoreUnavailableError:
        advice = "give it longer with --orphans-within SECONDS, at a quiet hour"
        return doubtful(_CHECK, f"not looked through within {most_s:g} s a partition", advice)
    left = {name: count for name, count in found.items() if count}
    if not left:
        return well(_CHECK, "no row has lost its thread or run")
    named = ", ".join(f"{count} {name}" for name, count in sorted(left.items()))
    advice = "see `triggers`; then delete them as docs/guide/26-retention.md shows"
    return wrong(_CHECK, f"rows without their thread or run: {named}", advice)


async def _limit(connection: AsyncConnection, most_s: float) -> None:
    await connection.execute(QUERIES["limit_time"], {"most": f"{round(1000 * most_s)}"})
