"""Receipts of what was deleted, each with the check of its signature and of its place in the chain."""

import asyncio
import json
from typing import Any, Final

from litestar import Response

from agentflow_api.console.pages import OPERATOR, Page, at, shown
from agentflow_tenancy.offboarding.receipts import ReceiptError, verify, verify_chain

_ALL: Final = "/v1/admin/receipts"
_PAGE: Final = 100


@shown("/console/receipts", OPERATOR)
async def receipts(page: Page) -> Response[str]:
    """Every receipt in the order of the chain, and whether it holds."""
    found, keys, before = await asyncio.gather(
        page.api.get(_ALL, limit=_PAGE, cursor=page.query.get("cursor")),
        _keys(page),
        _before(page, page.query.get("after", "")),
    )
    files = found["receipts"]
    try:
        verify_chain([*before, *files], keys)
        problem = ""
    except ReceiptError as error:
        problem = str(error)
    following = found["next_cursor"] and {
        "cursor": found["next_cursor"],
        "after": files[-1]["receipt"]["receipt_id"],
    }
    return page.show(
        "operator/receipts.html", files=files, before=before, problem=problem, following=following
    )


@shown("/console/receipts/{receipt_id:str}", OPERATOR)
async def receipt(page: Page, receipt_id: str) -> Response[str]:
    """One receipt, whole."""
    file, keys = await asyncio.gather(page.api.get(at(_ALL, receipt_id)), _keys(page))
    try:
        verify(file, keys)
        problem = ""
    except ReceiptError as error:
        problem = str(error)
    text = json.dumps(file["receipt"], indent=2, sort_keys=True, ensure_ascii=False)
    return page.show("operator/receipt.html", receipt=file["receipt"], text=text, problem=problem)


async def _before(page: Page, receipt_id: str) -> list[Any]:
    """The last of the page before, which the first of this one must follow."""
    return [await page.api.get(at(_ALL, receipt_id))] if receipt_id else []


async def _keys(page: Page) -> Any:
    return json.loads((await page.api.ask("GET", "/.well-known/receipts-jwks.json")).body)


RECEIPT_PAGES: Final[list[Any]] = [receipts, receipt]
