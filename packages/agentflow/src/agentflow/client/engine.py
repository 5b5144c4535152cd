"""Carries operations out: sends, sends again, and makes errors of what went wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import httpx

from agentflow.client.errors import (
    ClientError,
    ConnectionFailedError,
    RateLimitedError,
    TimedOutError,
    UnreadableAnswerError,
    error_of,
)
from agentflow.client.operations.operation import Operation
from agentflow.client.retries import Retrying, RetryPolicy
from agentflow.client.target import Target
from agentflow.client.transports import Transport

logger = logging.getLogger("agentflow.client")

TIMEOUT_S: Final = 300.0
IDLE_S: Final = 60.0
_CONNECT_WITHIN_S: Final = 10.0


class Engine:
    """One service, one credential, one way to send."""

    def __init__(
        self,
        target: Target,
        transport: Transport,
        retries: RetryPolicy | None,
        timeout_s: float,
        idle_s: float,
    ) -> None:
        self.target = target
        self.transport = transport
        self.retries = retries or RetryPolicy()
        self.timeout_s = timeout_s
        self.idle_s = idle_s

    def for_agent(self, agent: str | None) -> Engine:
        """The same, with another agent."""
        target = self.target.for_agent(agent)
        return Engine(target, self.transport, self.retries, self.timeout_s, self.idle_s)

    async def call[T](self, operation: Operation[T]) -> T:
        """Send an operation and read its answer.

        Raises:
            ClientError: One of its classes; when it was sent again, the last one.
        """
        content = await self._retried(operation, self._whole)
        with _read_as_asked(operation):
            return operation.read(json.loads(content)["data"])

    @asynccontextmanager
    async def opened(self, operation: Operation[Any]) -> AsyncGenerator[httpx.Response]:
        """Send an operation whose answer is read piece by piece.

        Raises:
            ClientError: As `call`, until the answer begins.
        """
        response = await self._retried(operation, self._begun)
        try:
            yield response
        finally:
            await self.transport.leave(response)

    async def pieces(self, response: httpx.Response) -> AsyncGenerator[bytes]:
        """What comes of an answer.

        Raises:
            ConnectionFailedError: It broke.
            TimedOutError: Nothing came for too long.
        """
        with _translated():
            async for piece in self.transport.pieces(response):
                yield piece

    async def _retried[A](
        self, operation: Operation[Any], attempt: Callable[[Operation[Any]], Awaitable[A]]
    ) -> A:
        retrying = Retrying(self.retries)
        while True:
            try:
                return await attempt(operation)
            except TimedOutError:
                if not operation.patient:
                    raise
            except ClientError as error:
                # A quota refuses before anything is done.
                refused = isinstance(error, RateLimitedError) and operation.resendable
                wait_s = retrying.wait_s(error) if operation.repeatable or refused else None
                if wait_s is None:
                    raise
                logger.debug(
                    "%s %s: %s; again in %.2f s.", operation.method, operation.path, error.code, wait_s
                )
                await self.transport.pause(wait_s)

    async def _whole(self, operation: Operation[Any]) -> bytes:
        response = await self._begun(operation)
        with _translated():
            return await self.transport.read(response)

    async def _begun(self, operation: Operation[Any]) -> httpx.Response:
        """The head of an answer that is no error."""
        with _translated():
            request = self._request(operation)
            response = await self.transport.send(request)
            if response.is_success:
                return response
            content = await self.transport.read(response)
        raise error_of(response.status_code, response.headers, self.target.hidden(content))

    def _request(self, operation: Operation[Any]) -> httpx.Request:
        timeout_s = operation.timeout_s or self.timeout_s
        return self.transport.request(
            operation.method,
            self.target.url(operation.path, of_agent=operation.of_agent),
            operation.content(),
            params=operation.parameters(),
            headers=self.target.headers() | operation.fields(),
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_WITHIN_S)),
        )


@contextmanager
def _read_as_asked(operation: Operation[Any]) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableAnswerError(
            f"{operation.method} {operation.path} was not answered as this service does "
            f"({type(error).__name__}): check base_url, and whether the service is as new as this client."
        ) from error


@contextmanager
def _translated() -> Iterator[None]:
    """The HTTP library's errors as ours. Its words stay out: they may quote what was sent."""
    try:
        yield
    except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
        raise TimedOutError("No answer in time; the service may still be at work.") from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise ConnectionFailedError(
            f"The service could not be reached, or the connection broke ({type(error).__name__})."
        ) from error
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise UnreadableAnswerError(f"The answer cannot be read ({type(error).__name__}).") from error
