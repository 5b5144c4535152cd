"""Carries out open exports and imports: `python -m tests.benchmarks.exporting DB FOLDER`."""

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_tenancy import TenantRepository
from agentflow_tenancy.exports import ExportFolder, ExportQueue, ThreadExporter, ThreadImporter
from agentflow_worker.export_runner import ExportRunner


async def main(arguments: Sequence[str]) -> None:
    """One worker, until nothing is left."""
    url, path = arguments
    engine = engine_from_url(url, pool_size=4, max_overflow=0, timeout_s=60)
    folder = ExportFolder(Path(path))
    exporter, importer = ThreadExporter(engine, folder), ThreadImporter(engine)
    runner = ExportRunner(ExportQueue(engine), TenantRepository(engine), exporter, importer, folder)
    began = time.monotonic()
    while await runner.work_once():
        pass
    took_s = time.monotonic() - began
    await engine.dispose()
    print(json.dumps({"took_s": took_s, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 0.0 if peak is None else int(peak[1]) * 1024 / 1e6


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
