"""`/downloads`: an archive, by a signed link, whole or from where a download broke off."""

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO, Any, Final

from litestar import Request, Response, get
from litestar.response import Stream

from agentflow_api.exports import service
from agentflow_api.http import parameters
from agentflow_api.http.envelope import failure
from agentflow_api.http.fields import field_of
from agentflow_api.http.request_ids import request_id
from agentflow_api.wiring import Wiring
from agentflow_tenancy.exports import ExportRecord
from agentflow_tenancy.exports.errors import LinkError

TAR: Final = "application/x-tar"
LONGEST_LINK: Final = 200
LONGEST_RANGE: Final = 100
_PIECE_BYTES: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@get("/downloads")
async def download_export(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes] | Stream:
    """The archive that a link opens; no credential is asked for, and `Range` goes on with what broke off."""
    text = request.query_params.get("link") or ""
    if len(text) > LONGEST_LINK:
        raise parameters.invalid("link", f"has at most {LONGEST_LINK} characters")
    if len(field_of(request, b"range")) > LONGEST_RANGE:
        raise parameters.invalid("Range", f"has at most {LONGEST_RANGE} characters")
    link = wiring.links.read(text)
    record = await wiring.exports.get(link.tenant_id, link.export_id)
    gone = LinkError("This file is kept no more.")
    if record is None or record.state != "done" or record.digest is None:
        raise gone
    try:
        file = await asyncio.to_thread(_open, service.folder(wiring).archive(record.export_id))
    except FileNotFoundError:
        raise gone from None
    return _answer(request, record, file)


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _answer(
    request: Request[Any, Any, Any], record: ExportRecord, file: IO[bytes]
) -> Response[bytes] | Stream:
    tag = f'"{(record.digest or b"").hex()}"'
    headers = {
        "x-request-id": request_id(),
        "accept-ranges": "bytes",
        "etag": tag,
        "cache-control": "private, no-store",
        "content-disposition": f'attachment; filename="{record.export_id}.tar"',
    }
    size = record.size_bytes
    asked = _asked(request, tag, size)
    if asked is None:
        return Stream(_pieces(file, 0, size), media_type=TAR, headers=headers | {"content-length": str(size)})
    first, last = asked
    if first > last:
        file.close()
        fields = {"content-range": f"bytes */{size}"}
        return failure(416, "RANGE_NOT_SATISFIABLE", f"The file has {size} bytes.", headers=fields)
    headers |= {"content-range": f"bytes {first}-{last}/{size}", "content-length": str(last - first + 1)}
    pieces = _pieces(file, first, last - first + 1)
    return Stream(pieces, media_type=TAR, headers=headers, status_code=206)


def _asked(request: Request[Any, Any, Any], tag: str, size: int) -> tuple[int, int] | None:
    """The first and last byte that are asked for; None for all, also where a range is none that is known."""
    found = _RANGE.fullmatch(field_of(request, b"range").strip())
    if found is None or found.groups() == ("", "") or field_of(request, b"if-range", tag) != tag:
        return None
    first, last = found.groups()
    if not first:
        # As many as that from the end.
        return (max(0, size - int(last)), size - 1) if int(last) else (size, size - 1)
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last or size - 1), size - 1)


async def _pieces(file: IO[bytes], offset: int, left: int) -> AsyncGenerator[bytes]:
    try:
        file.seek(offset)
        while left:
            piece = await asyncio.to_thread(file.read, min(left, _PIECE_BYTES))
            if not piece:
                raise EOFError("the file is shorter than it was")
            left -= len(piece)
            yield piece
    finally:
        file.close()
