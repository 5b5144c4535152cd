"""The envelope of every answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from litestar import Response
from litestar.enums import MediaType
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from agentflow_api.http.request_ids import request_id

_quoted: Final[Callable[[str], str]] = json.encoder.encode_basestring


def success(data: Any, message: str = "OK", *, status_code: int = 200) -> JsonAnswer:
    """`{"data": ..., "metadata": {...}}`."""
    return _response({"data": data}, message, status_code, {})


def success_text(data: str, message: str = "OK", *, status_code: int = 200) -> JsonAnswer:
    """The same of data that is JSON text already."""
    own_id = request_id()
    timestamp = datetime.now(UTC).isoformat()
    metadata = f'{{"request_id":{_quoted(own_id)},"timestamp":"{timestamp}","message":{_quoted(message)}}}'
    content = f'{{"data":{data},"metadata":{metadata}}}'.encode(errors="replace")
    return _answer(content, status_code, own_id, timestamp, {})


def failure(
    status_code: int,
    code: str,
    message: str,
    details: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> JsonAnswer:
    """`{"error": {...}, "metadata": {...}}`; both are always there, clients rely on it.

    Args:
        details: `{"loc": [...], "msg": str, "type": str}` each.
    """
    error = {"code": code, "message": message, "details": list(details)}
    return _response({"error": error}, message, status_code, dict(headers or {}))


def _response(body: dict[str, Any], message: str, status_code: int, headers: dict[str, str]) -> JsonAnswer:
    own_id = request_id()
    timestamp = datetime.now(UTC).isoformat()
    body["metadata"] = {"request_id": own_id, "timestamp": timestamp, "message": message}
    # NaN has no JSON; half a surrogate pair, in an echo of bad input, has no UTF-8.
    content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        errors="replace"
    )
    return _answer(content, status_code, own_id, timestamp, headers)


def _answer(
    content: bytes, status_code: int, own_id: str, timestamp: str, headers: dict[str, str]
) -> JsonAnswer:
    return JsonAnswer(content, status_code, {"x-request-id": own_id, "x-timestamp": timestamp, **headers})


class JsonAnswer(Response[bytes]):
    """An answer that is JSON already. Hot, so its header fields are not sorted through again on its way."""

    def __init__(self, content: bytes, status_code: int, headers: dict[str, str]) -> None:
        # As its base does, without looking for what these have not.
        self.content, self.status_code, self.headers = content, status_code, headers
        self.media_type, self.encoding, self.background = MediaType.JSON, "utf-8", None
        self.cookies = []

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """See `Response`; the routes set none of the framework's fields, cookies and tasks."""
        return _Ready(self)

    async def send(self, send: Send) -> None:
        """Two messages and nothing else."""
        fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()
        ]
        fields += ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.content)))
        await send({"type": "http.response.start", "status": self.status_code or 200, "headers": fields})
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


class _Ready(ASGIResponse):
    __slots__ = ("_answer",)

    def __init__(self, answer: JsonAnswer) -> None:
        # Its base has nothing to add.
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer.send(send)
