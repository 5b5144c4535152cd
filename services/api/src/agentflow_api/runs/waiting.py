"""Waiting for a run's end, for as long as somebody does who may."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Request

from agentflow_api.http.gatekeeper import Gate
from agentflow_api.http.problems import ClientGoneError
from agentflow_api.wiring import Wiring
from agentflow_hosting.runs import RunRecord
from agentflow_tenancy import Principal


async def until_over(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring, run: RunRecord
) -> RunRecord | None:
    """The run once it is over; None when it was deleted meanwhile.

    Raises:
        CredentialError, TenantSuspendedError: Who waits is let in no more.
        ClientGoneError: Who waited went away.
    """
    if run.is_over:
        return run
    with wiring.gates.opened(principal) as gate:
        async with _shut_when_gone(request, gate):
            return await wiring.reader.ended(run, gate=gate)


@asynccontextmanager
async def _shut_when_gone(request: Request[Any, Any, Any], gate: Gate) -> AsyncGenerator[None]:
    """A run may take days; whoever hung up is not waited for so long."""

    async def watch() -> None:
        while True:
            message: dict[str, Any] = dict(await request.receive())
            if message["type"] == "http.disconnect":
                gate.shut(ClientGoneError("The client went away."))
                return

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
