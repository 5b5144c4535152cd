"""The worker's settings, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from agentflow_telemetry import TelemetrySettings, read_telemetry_settings
from agentflow_telemetry.settings import VARIABLES as TELEMETRY_VARIABLES
from agentflow_tenancy.exports.folder import MEANING as EXPORTS_MEANING
from agentflow_tenancy.exports.folder import VARIABLE as EXPORTS_VARIABLE
from agentflow_tenancy.moves.policy import VARIABLES as MOVE_VARIABLES
from agentflow_tenancy.moves.policy import MovePolicy
from agentflow_worker.metrics_settings import VARIABLES as METRICS_VARIABLES
from agentflow_worker.metrics_settings import MetricsSettings, read_metrics_settings
from agentflow_worker.run_settings import VARIABLES as RUN_VARIABLES
from agentflow_worker.run_settings import RunSettings, read_run_settings


class SettingsError(ValueError):
    """A setting is missing or malformed; the text names the variable and what to write."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the process is told from outside."""

    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    sweep_every_s: float = 60.0
    roll_up_every_s: float = 60.0
    retention: timedelta | None = None
    keep_checkpoints: int | None = None
    pack_after: timedelta = timedelta(minutes=10)
    move_policy: MovePolicy = field(default_factory=MovePolicy)
    plan_moves_every_s: float = 60.0
    keep_chunks_s: float = 3600.0
    keep_runs: timedelta = timedelta(days=30)
    keep_traces: timedelta = timedelta(days=7)
    backups_kept: timedelta = timedelta(days=30)
    exports: Path | None = None
    keep_exports: timedelta = timedelta(days=1)
    runs: RunSettings | None = None
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    metrics: MetricsSettings | None = None


VARIABLES: Final = {
    "AGENTFLOW_OPERATIONS_DATABASE_URL": "Postgres, postgresql+asyncpg://user:password@host:5432/database, "
    "by the login that migrates: sweeps and moves see every tenant. Required.",
    "AGENTFLOW_REDIS_URL": "Redis or Valkey, redis://host:6379/0. Required; `none` runs on Postgres alone.",
    "AGENTFLOW_SWEEP_EVERY_S": "Seconds between sweeps for expired threads. 60 if not set.",
    "AGENTFLOW_ROLL_UP_EVERY_S": "Seconds between additions of usage to its hours. 60 if not set.",
    "AGENTFLOW_RETENTION_DAYS": "Delete threads that did not change for so many days. Never if not set.",
    "AGENTFLOW_KEEP_CHECKPOINTS": "Versions of a thread to keep, the latest. All if not set.",
    "AGENTFLOW_PACK_AFTER_S": "Seconds until the versions of a thread left alone are packed. 600 if not set.",
    **MOVE_VARIABLES,
    "AGENTFLOW_PLAN_MOVES_EVERY_S": "Seconds between looks for tenants that should move. 60 if not set.",
    "AGENTFLOW_KEEP_CHUNKS_S": "Seconds that what a run said is kept after its end. 3600 if not set.",
    "AGENTFLOW_KEEP_RUNS_DAYS": "Days that a run is kept after its end. 30 if not set.",
    "AGENTFLOW_KEEP_TRACES_DAYS": "Days that what a run did is kept after its end. 7 if not set.",
    "AGENTFLOW_BACKUPS_KEPT_DAYS": "Days until no backup holds what was deleted, for receipts. 30 if not "
    "set.",
    EXPORTS_VARIABLE: EXPORTS_MEANING,
    "AGENTFLOW_KEEP_EXPORTS_S": "Seconds that the file of an export is kept. 86400 if not set.",
    **RUN_VARIABLES,
    **TELEMETRY_VARIABLES,
    **METRICS_VARIABLES,
}


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: One is missing or malformed.
    """
    redis_url = _required(environment, "AGENTFLOW_REDIS_URL")
    days = _positive(environment, "AGENTFLOW_RETENTION_DAYS")
    keep = _positive(environment, "AGENTFLOW_KEEP_CHECKPOINTS")
    cache_url = None if redis_url.lower() == "none" else redis_url
    try:
        move_policy = MovePolicy.read(environment)
        runs = read_run_settings(environment, cache_url)
        telemetry = read_telemetry_settings(environment)
        metrics = read_metrics_settings(environment)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    return Settings(
        database_url=_required(environment, "AGENTFLOW_OPERATIONS_DATABASE_URL"),
        redis_url=cache_url,
        sweep_every_s=_positive(environment, "AGENTFLOW_SWEEP_EVERY_S") or 60.0,
        roll_up_every_s=_positive(environment, "AGENTFLOW_ROLL_UP_EVERY_S") or 60.0,
        retention=None if days is None else timedelta(days=days),
        keep_checkpoints=None if keep is None else max(1, round(keep)),
        move_policy=move_policy,
        plan_moves_every_s=_positive(environment, "AGENTFLOW_PLAN_MOVES_EVERY_S") or 60.0,
        keep_chunks_s=_positive(environment, "AGENTFLOW_KEEP_CHUNKS_S") or 3600.0,
        keep_runs=timedelta(days=_positive(environment, "AGENTFLOW_KEEP_RUNS_DAYS") or 30.0),
        keep_traces=timedelta(days=_positive(environment, "AGENTFLOW_KEEP_TRACES_DAYS") or 7.0),
        backups_kept=timedelta(days=_positive(environment, "AGENTFLOW_BACKUPS_KEPT_DAYS") or 30.0),
        exports=Path(exports) if (exports := environment.get(EXPORTS_VARIABLE)) else None,
        keep_exports=timedelta(seconds=_positive(environment, "AGENTFLOW_KEEP_EXPORTS_S") or 86400.0),
        runs=runs,
        telemetry=telemetry,
        metrics=metrics,
        pack_after=timedelta(seconds=_positive(environment, "AGENTFLOW_PACK_AFTER_S") or 600.0),
    )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"Set {name}: {VARIABLES[name]}")
    return value


def _positive(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise SettingsError(f"{name} must be a number above 0: {VARIABLES[name]}")
    return number
