"""Which deployment is looked at: as the environment of its services says, else that of `make run`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import make_url

from agentflow_cloud.errors import CommandError
from agentflow_cloud.state import dev_file, state_folder
from agentflow_doctor.deployment import Deployment, connections_of

_APP_LOGIN = "agentflow_api"


def deployment(environment: Mapping[str, str] = os.environ) -> Deployment:
    """The deployment that the environment names, else that of `make run` in the state folder.

    Raises:
        CommandError: Neither is there; what to set.
    """
    url = environment.get("AGENTFLOW_OPERATIONS_DATABASE_URL")
    if not url:
        return _of_dev_file(environment)
    redis_url = _redis(environment.get("AGENTFLOW_REDIS_URL"))
    return Deployment(
        operations_url=url,
        app_url=environment.get("AGENTFLOW_DATABASE_URL"),
        redis_url=redis_url,
        quota_redis_url=environment.get("AGENTFLOW_QUOTA_REDIS_URL") or redis_url,
        connections=_connections(environment),
        tombstones=Path(kept) if (kept := environment.get("AGENTFLOW_TOMBSTONES")) else None,
    )


def _of_dev_file(environment: Mapping[str, str]) -> Deployment:
    file = dev_file()
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        database_url, redis_url = str(known["database_url"]), str(known["redis_url"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            "Set AGENTFLOW_OPERATIONS_DATABASE_URL (and AGENTFLOW_DATABASE_URL, AGENTFLOW_REDIS_URL) as the "
            f"services have them: no stack of `make run` is known here ({file} cannot be read)."
        ) from error
    kept = Path(environment.get("AGENTFLOW_TOMBSTONES") or file.with_name("tombstones.jsonl"))
    password = state_folder().known_secret("app_password")
    app_url = make_url(database_url).set(username=_APP_LOGIN, password=password)
    return Deployment(
        operations_url=database_url,
        app_url=None if password is None else app_url.render_as_string(hide_password=False),
        redis_url=redis_url,
        quota_redis_url=redis_url,
        connections=_connections(environment),
        tombstones=kept if kept.exists() else None,
    )


def _connections(environment: Mapping[str, str]) -> int:
    return connections_of(
        pool=_whole(environment, "AGENTFLOW_POOL_SIZE", 20),
        replicas=_whole(environment, "AGENTFLOW_REPLICAS", 1),
        workers=_whole(environment, "AGENTFLOW_API_WORKERS", 1),
    )


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1_000_000):
        raise CommandError(f"{name} must be a whole number above 0.")
    return int(text)


def _redis(url: str | None) -> str | None:
    return None if not url or url.lower() == "none" else url
