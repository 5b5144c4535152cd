"""What can be wrong with a request itself."""

from collections.abc import Mapping, Sequence
from typing import Any


class RequestError(Exception):
    """Root of what a client did wrong on the HTTP level."""

    code = "BAD_REQUEST"

    def __init__(self, message: str, details: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.details = details


class BadRequestError(RequestError):
    """It cannot be read."""


class BodyTooLargeError(RequestError):
    """The body is over the limit."""

    code = "BODY_TOO_LARGE"


class BodyTooSlowError(RequestError):
    """The body does not come."""

    code = "BODY_TOO_SLOW"


class NotThereError(RequestError):
    """There is nothing of that name, for whoever asks."""

    code = "NOT_FOUND"


class ConflictingError(RequestError):
    """It cannot be done to what is there now."""

    code = "CONFLICT"


class ClientGoneError(RequestError):
    """Nobody is there to be answered."""

    code = "CLIENT_GONE"


class StoppingError(RequestError):
    """This process is about to end; another one will answer."""

    code = "STOPPING"


class UnsupportedBodyError(RequestError):
    """The body is in a form that is not taken."""

    code = "UNSUPPORTED_BODY"


class InvalidBodyError(RequestError):
    """The body can be read but does not fit the route."""

    code = "VALIDATION_ERROR"


class InvalidParameterError(RequestError):
    """A path or query parameter does not fit the route."""

    code = "VALIDATION_ERROR"
