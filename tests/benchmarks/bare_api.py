"""A bare granian and Litestar that answer what they are given: `python -m tests.benchmarks.bare_api PORT`."""

import os
import sys
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import Interfaces, Loops
from litestar import Litestar, Request, Response, get, post

ANSWERS = "AGENTFLOW_BENCH_ANSWERS"


def create() -> Any:
    """The application: `/ping`, `/get` and `/post`, each with the bytes of its file."""
    folder = Path(os.environ[ANSWERS])
    ping, got, posted = ((folder / name).read_bytes() for name in ("ping", "get", "post"))

    @get("/ping")
    async def answer_ping() -> Response[bytes]:
        return Response(ping, media_type="application/json")

    @get("/get")
    async def answer_get() -> Response[bytes]:
        return Response(got, media_type="application/json")

    @post("/post", status_code=200)
    async def answer_post(request: Request[Any, Any, Any]) -> Response[bytes]:
        await request.body()
        return Response(posted, media_type="application/json")

    return Litestar([answer_ping, answer_get, answer_post], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    Granian(
        "tests.benchmarks.bare_api:create",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        factory=True,
        log_access=False,
        log_enabled=False,
    ).serve()
