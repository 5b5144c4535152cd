"""Connections to a chat completions endpoint: one client an event loop."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentflow.errors import ConfigurationError
from agentflow.utils.per_loop import PerLoop

if TYPE_CHECKING:
    from openai import AsyncOpenAI


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is, and how to call it.

    Attributes:
        api_key: None for the environment's.
        timeout_s: Longest time for one call.
        max_retries: Of calls that failed for the moment, on top of the first try.
    """

    provider: str
    base_url: str | None
    api_key: str | None = field(repr=False)
    timeout_s: float
    max_retries: int

    def client(self) -> AsyncOpenAI:
        """A client for this loop.

        Raises:
            ConfigurationError: There is no key, or none that could be one.
        """
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            base_url=self.base_url, api_key=self._key(), timeout=self.timeout_s, max_retries=self.max_retries
        )

    def _key(self) -> str:
        key = self.api_key
        if key is None and self.provider == "openai":
            key = os.environ.get("OPENAI_API_KEY")
        if key is None and self.base_url is not None:
            return "none"  # a local endpoint asks for no key, but the client insists on having one
        key = (key or "").strip()
        if not key:
            raise ConfigurationError("The model needs a key: pass api_key or set OPENAI_API_KEY.")
        # Checked here, since the HTTP library's own complaint would quote the key.
        if not key.isascii() or not key.isprintable():
            raise ConfigurationError("The model's key holds characters that no key has.")
        return key


class ChatClients:
    """A client for each event loop that asks; its connections work in no other."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is opened yet."""
        self._clients: PerLoop[AsyncOpenAI] = PerLoop(endpoint.client, _close)
        # An agent that is dropped leaves no connection behind in a loop that runs on.
        weakref.finalize(self, self._clients.close_soon).atexit = False

    async def get(self) -> AsyncOpenAI:
        """This loop's client.

        Raises:
            ConfigurationError: See `Endpoint.client`.
        """
        return await self._clients.get()

    async def aclose(self) -> None:
        """Close all of them; the next call opens new ones. Idempotent."""
        await self._clients.close()


async def _close(client: AsyncOpenAI) -> None:
    await client.close()
