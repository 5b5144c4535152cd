"""What offboardings are carried out with, opened together."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.cache import client_from_url
from agentflow_hosting.leaving import AnswersPlace, RunQueuePlace
from agentflow_tenancy.exports import ExportFolder
from agentflow_tenancy.offboarding import (
    OffboardingRepository,
    Place,
    Purger,
    ReceiptRepository,
    RedisPlace,
    Verifier,
)
from agentflow_tenancy.signing_keys import SigningKeys
from agentflow_tenancy.tombstones import TombstoneFile
from agentflow_worker.offboarding_archives import ArchiveFirst, ArchivesElsewhere, ArchivesPlace
from agentflow_worker.offboarding_runner import OffboardingRunner, Parts
from agentflow_worker.purge_again import PurgeAgain
from agentflow_worker.run_settings import RunSettings
from agentflow_worker.settings import Settings

# A pass over many keys may take longer than a turn would wait.
_REDIS_TIMEOUT_S = 5.0


@asynccontextmanager
async def opened_offboarding(
    settings: Settings, runs: RunSettings, engine: AsyncEngine
) -> AsyncGenerator[tuple[OffboardingRunner, PurgeAgain]]:
    """A runner, and who looks after those that left, for the length of a block.

    Only a worker that knows the service's secret can sign receipts.

    Args:
        settings: Of the process.
        runs: Know the secret, and the Redis that counts.
        engine: Of the login that owns the tables.
    """
    urls = {"cache": settings.redis_url, "quota counts": runs.quota_redis_url}
    async with AsyncExitStack() as stack:
        places: list[Place] = [RunQueuePlace(engine), AnswersPlace(engine)]
        for name, url in urls.items():
            if url is not None and (name == "cache" or url != settings.redis_url):
                client = client_from_url(url, timeout_s=_REDIS_TIMEOUT_S)
                stack.push_async_callback(client.aclose)
                places.append(RedisPlace(client, f"Redis, {name}"))
        exporter = None
        if settings.exports is None:
            places.append(ArchivesElsewhere(engine))
        else:
            exporter = ArchiveFirst(engine)
            places.append(ArchivesPlace(engine, ExportFolder(settings.exports)))
        keep = None if settings.tombstones is None else TombstoneFile(settings.tombstones).keep
        parts = Parts(
            OffboardingRepository(engine),
            Purger(engine),
            Verifier(engine, places),
            ReceiptRepository(engine, keep),
            SigningKeys(engine, runs.key_pepper),
            places=places,
            exporter=exporter,
        )
        runner = OffboardingRunner(parts, backups_kept=settings.backups_kept)
        yield runner, PurgeAgain(parts.repository, places)
