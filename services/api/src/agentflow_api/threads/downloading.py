"""All messages of a thread: a JSON object a line, read as fast as they are taken."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from litestar import Request
from litestar.response import Stream

from agentflow.storage.checkpointer import MessagePage, MessagePlace
from agentflow_api.http import parameters
from agentflow_api.http.json_lines import NDJSON
from agentflow_api.http.request_ids import request_id
from agentflow_api.wiring import Wiring
from agentflow_hosting.message_text import message_text
from agentflow_tenancy import Principal

VERSION: Final = "x-thread-version"
_PIECE_BYTES: Final = 64 * 1024


async def download_messages(
    request: Request[Any, Any, Any],
    stored_id: str,
    principal: Principal,
    wiring: Wiring,
    version: int | None,
) -> Stream:
    """The context of one version: the latest when None, or the one that a download before had begun with.

    Raises:
        ThreadNotFoundError: There is no such thread, or it never had that version.
    """
    skip = parameters.whole(request, "offset") or 0
    place = MessagePlace(version=version)
    first = await wiring.store.read_messages(principal.scope, stored_id, after=place, skip=skip)
    return Stream(
        _texts(wiring, principal, stored_id, first),
        media_type=NDJSON,
        headers={
            "x-request-id": request_id(),
            VERSION: str(first.following.version),
            "cache-control": "no-store",
            "x-accel-buffering": "no",
        },
    )


async def _texts(
    wiring: Wiring, principal: Principal, stored_id: str, page: MessagePage
) -> AsyncGenerator[bytes]:
    """Lines, some at a time. Whatever ends it early breaks the answer off: it must not look whole."""
    with wiring.gates.opened(principal) as gate:
        while not page.is_last:
            piece = bytearray()
            for row in page.messages:
                piece += message_text(row).encode(errors="replace")
                piece += b"\n"
                if len(piece) >= _PIECE_BYTES:
                    yield bytes(piece)
                    piece.clear()
                    gate.check()
            if piece:
                yield bytes(piece)
            gate.check()
            async with wiring.turns.entered(principal.tenant.tenant_id):
                page = await wiring.store.read_messages(principal.scope, stored_id, after=page.following)
