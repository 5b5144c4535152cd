"""Receipts: the operator's list, and one for whoever knows its id; with the keys that check them."""

from typing import Any

from litestar import Request, Response, Router, get
from litestar.enums import MediaType

from agentflow_api.http import parameters
from agentflow_api.http.credentials import require_operator
from agentflow_api.http.cursors import asked_cursor, cursor_after
from agentflow_api.http.envelope import success
from agentflow_api.http.problems import InvalidParameterError, NotThereError
from agentflow_api.offboarding.routes import uuid_of
from agentflow_api.wiring import Wiring


@get("/v1/admin/receipts", guards=[require_operator])
async def list_receipts(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """Every receipt in the order of the chain, as files: one missing or changed would show."""
    _, _, limit = parameters.page(request)
    cursor = asked_cursor(request) or "0"
    if not cursor.isdecimal() or len(cursor) > 18:
        raise InvalidParameterError("cursor is not one that this service gave.")
    found = await wiring.receipts.page(after=int(cursor), limit=limit)
    following = cursor_after(str(found[-1].sequence)) if len(found) == limit else None
    return success({"receipts": [receipt.as_file() for receipt in found], "next_cursor": following})


@get("/v1/admin/receipts/{receipt_id:str}", guards=[require_operator])
async def get_receipt_as_operator(receipt_id: str, wiring: Wiring) -> Response[bytes]:
    """One receipt, as a file."""
    return success(await _file(wiring, receipt_id))


@get("/receipts/{receipt_id:str}")
async def get_receipt(receipt_id: str, wiring: Wiring) -> Response[bytes]:
    """A receipt, for whoever knows its id: its tenant has no credential any more. It names nobody."""
    await wiring.role.require()
    return success(await _file(wiring, receipt_id))


@get("/.well-known/receipts-jwks.json", media_type=MediaType.JSON)
async def receipt_keys(wiring: Wiring) -> Response[dict[str, Any]]:
    """The public keys of receipts, those too that sign no tokens any more."""
    await wiring.role.require()
    return Response(await wiring.receipts.jwks(), headers={"cache-control": "public, max-age=60"})


async def _file(wiring: Wiring, receipt_id: str) -> dict[str, Any]:
    missing = NotThereError("There is no such receipt, or not yet.")
    found = await wiring.receipts.get(uuid_of(receipt_id, missing))
    if found is None:
        raise missing
    return found.as_file()


receipts_router = Router(
    "/", route_handlers=[list_receipts, get_receipt_as_operator, get_receipt, receipt_keys]
)
