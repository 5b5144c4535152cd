"""Reading a JSON body in bounded memory."""

import json
import math
import zlib
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from litestar import Request
from pydantic import BaseModel, ValidationError

from agentflow_api.http.fields import field, field_of
from agentflow_api.http.problems import (
    BadRequestError,
    BodyTooLargeError,
    InvalidBodyError,
    UnsupportedBodyError,
)

# What is taken in must fit into an answer again, some levels deeper; 255 is what can be written.
_MAX_DEPTH: Final = 128

# Of a body that is too large so much is still taken and thrown away: a client that cannot send on
# may see a cut connection before it sees the answer.
_READ_ON_BYTES: Final = 32 * 1024 * 1024


async def read_json(request: Request[Any, Any, Any], *, max_bytes: int) -> Any:
    """The body as JSON data; None when it is empty.

    Raises:
        BodyTooLargeError: Over the limit, packed or unpacked, whatever its declared length says.
        UnsupportedBodyError: It is packed in another way than gzip.
        BadRequestError: It is no JSON in UTF-8, or nested too deeply to read.
        InvalidBodyError: It is null, which is no way to say nothing.
    """
    encoding = field_of(request, b"content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise UnsupportedBodyError("Send the body as it is, or packed with gzip.")
    raw = await _read(request, max_bytes)
    if encoding == "gzip":
        raw = _unpacked(raw, max_bytes)
    if raw.strip() == b"null":
        raise InvalidBodyError(
            "The body must be a JSON object, or empty where that is taken; null is neither."
        )
    return json_of(raw, max_bytes)


async def read_bytes(request: Request[Any, Any, Any], *, max_bytes: int) -> bytes:
    """The body as it came.

    Raises:
        BodyTooLargeError, BodyTooSlowError, BadRequestError: See `read_json`.
    """
    return await _read(request, max_bytes)


def json_of(raw: bytes, max_bytes: int) -> Any:
    """A text as JSON data; None when it is empty.

    Raises:
        BodyTooLargeError: Over the limit.
        BadRequestError: It is no JSON in UTF-8, or nested too deeply to read.
    """
    if len(raw) > max_bytes:
        raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
    if not raw.strip():
        return None
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except RecursionError as error:
        raise BadRequestError(_TOO_DEEP) from error
    except ValueError as error:
        raise BadRequestError(f"The body is not JSON in UTF-8 ({type(error).__name__}).") from error
    # Hardly any body has so many brackets; only those that do are worth a walk.
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH and _is_deep(data):
        raise BadRequestError(_TOO_DEEP)
    return data


def validated[M: BaseModel](model: type[M], data: Any) -> M:
    """The data as a model.

    Raises:
        InvalidBodyError: It does not fit; each problem with its place.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        details = [
            {"loc": ["body", *problem["loc"]], "msg": problem["msg"], "type": problem["type"]}
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise InvalidBodyError("The body does not have the form this route takes.", details) from error
    except RecursionError as error:
        raise BadRequestError(_TOO_DEEP) from error


_TOO_DEEP: Final = f"The body is nested too deeply; at most {_MAX_DEPTH} levels are taken."


def _is_deep(data: Any) -> bool:
    level = [data]
    for _ in range(_MAX_DEPTH):
        level = [item for value in level if isinstance(value, list | dict) for item in _items(value)]
        if not level:
            return False
    return any(isinstance(value, list | dict) for value in level)


def _items(value: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


async def _read(request: Request[Any, Any, Any], max_bytes: int) -> bytes:
    length = _length(request)
    too_large = length is not None and length > max_bytes
    chunks: list[bytes] = []
    size, more = 0, True
    # Not to ask for the end of what is all there saves a way to the server's thread and back.
    while more and size != length:
        event = await request.receive()
        if event["type"] != "http.request":
            raise BadRequestError("The body broke off.")  # nobody is there to be told
        chunk, more = event["body"], event.get("more_body", False)
        size += len(chunk)
        too_large = too_large or size > max_bytes
        if not too_large:
            chunks.append(chunk)
        elif size > max_bytes + _READ_ON_BYTES:
            break
        else:
            chunks.clear()
    if too_large:
        raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
    return b"".join(chunks)


def _length(request: Request[Any, Any, Any]) -> int | None:
    """How long the body is, when that is known: what comes in pieces has no length that holds."""
    declared = field_of(request, b"content-length")
    return (
        int(declared) if declared.isdecimal() and field(request.scope, b"transfer-encoding") is None else None
    )


def _unpacked(packed: bytes, max_bytes: int) -> bytes:
    """The body out of its gzip wrapping; no more than the limit is ever unpacked."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        raw = unpacker.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise BadRequestError("The body is not gzip, though its content-encoding says so.") from error
    if len(raw) > max_bytes:
        raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
    if not unpacker.eof:
        raise BadRequestError("The body's gzip breaks off in the middle.")
    return raw


def _finite(text: str) -> float:
    """A number that can be written again: `1e999` is read as an infinity, which JSON does not know."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
