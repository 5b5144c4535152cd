"""The API with limits that the environment gives: `python -m tests.benchmarks.limited_api`, one worker."""

import dataclasses
import json
import os
from typing import Any

from granian import Granian
from granian.constants import Interfaces, Loops

import agentflow_api.wiring
from agentflow_api.app import create_app
from agentflow_tenancy import Authenticator, Limits, Principal

LIMITS = "AGENTFLOW_BENCH_LIMITS"


class LimitedAuthenticator(Authenticator):
    """Gives tenants the limits that the benchmark says."""

    async def authenticate(self, presented: str, *, may_leave: bool = False) -> Principal:
        """See `Authenticator`."""
        principal = await super().authenticate(presented, may_leave=may_leave)
        limits = Limits.parse(json.loads(os.environ[LIMITS]).get(principal.tenant.slug, {}))
        return dataclasses.replace(principal, tenant=dataclasses.replace(principal.tenant, limits=limits))


def create() -> Any:
    """The application."""
    vars(agentflow_api.wiring)["Authenticator"] = LimitedAuthenticator
    return create_app()


if __name__ == "__main__":
    Granian(
        "tests.benchmarks.limited_api:create",
        port=int(os.environ["AGENTFLOW_PORT"]),
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        factory=True,
        log_access=False,
        log_enabled=False,
    ).serve()
