"""Reading a JSON body in bounded memory."""

import json
from typing import Any, NoReturn

from litestar import Request
from pydantic import BaseModel, ValidationError

from agentflow_api.http.problems import (
    BadRequestError,
    BodyTooLargeError,
    InvalidBodyError,
    UnsupportedBodyError,
)


async def read_json(request: Request[Any, Any, Any], *, max_bytes: int) -> Any:
    """The body as JSON data; None when it is empty.

    Raises:
        BodyTooLargeError: Over the limit, whatever its declared length says.
        UnsupportedBodyError: It is compressed; nothing is unpacked.
        BadRequestError: It is no JSON in UTF-8, or nested too deeply to read.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedBodyError("Send the body uncompressed.")
    raw = await _read(request, max_bytes)
    if not raw.strip():
        return None
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError as error:
        raise BadRequestError("The body is nested too deeply.") from error
    except ValueError as error:
        raise BadRequestError(f"The body is not JSON in UTF-8 ({type(error).__name__}).") from error


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
        raise BadRequestError("The body is nested too deeply.") from error


async def _read(request: Request[Any, Any, Any], max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
