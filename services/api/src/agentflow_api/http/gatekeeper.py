"""Answers and sockets that stay open: they end when what let their reader in is over."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from itertools import batched
from typing import Final

from agentflow.errors import StoreUnavailableError
from agentflow_tenancy import CredentialError, Principal, TenantSuspendedError

_EVERY_S: Final = 0.5
# One after the other, many readers would hear of a revoked key too late; all at once would take every
# connection.
_AT_ONCE: Final = 4


class Gate:
    """One reader's: open until what let it in is over.

    Attributes:
        shut_by: Why it is no longer open.
    """

    __slots__ = ("_on_shut", "shut_by")

    def __init__(self) -> None:
        """Open."""
        self.shut_by: Exception | None = None
        self._on_shut: Callable[[], None] | None = None

    def on_shut(self, call: Callable[[], None] | None) -> None:
        """Have something called once it is shut; at once if it is."""
        self._on_shut = call
        if call is not None and self.shut_by is not None:
            call()

    def shut(self, why: Exception) -> None:
        """Let nothing more through."""
        self.shut_by = why
        if self._on_shut is not None:
            self._on_shut()

    def check(self) -> None:
        """Go on only while it is open.

        Raises:
            CredentialError, TenantSuspendedError: It is shut.
        """
        if self.shut_by is not None:
            raise self.shut_by


class Gatekeeper:
    """Asks now and then whether who was let in still would be: once for all gates of a credential."""

    def __init__(self, recheck: Callable[[Principal], Awaitable[None]], *, every_s: float = _EVERY_S) -> None:
        """Nobody is in.

        Args:
            recheck: Raises once the key is revoked or its tenant suspended (`Tokens.recheck`).
            every_s: How often to ask.
        """
        self._recheck = recheck
        self._every_s = every_s
        self._gates: dict[Hashable, tuple[Principal, set[Gate]]] = {}
        self._asking: asyncio.Task[None] | None = None

    @contextmanager
    def opened(self, principal: Principal) -> Iterator[Gate]:
        """A gate for the length of a block."""
        gate, name = Gate(), _name(principal)
        _, gates = self._gates.setdefault(name, (principal, set()))
        gates.add(gate)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            yield gate
        finally:
            gates.discard(gate)
            if not gates and self._gates.get(name, (None, None))[1] is gates:
                del self._gates[name]

    async def aclose(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        while self._gates:
            await asyncio.sleep(self._every_s)
            for some in batched(list(self._gates.values()), _AT_ONCE):
                await asyncio.gather(*(self._ask_about(principal, gates) for principal, gates in some))

    async def _ask_about(self, principal: Principal, gates: set[Gate]) -> None:
        try:
            await self._recheck(principal)
        except StoreUnavailableError:
            return  # nothing is known; a run stops by itself at its next boundary
        except (CredentialError, TenantSuspendedError) as error:
            for gate in list(gates):
                gate.shut(error)


def _name(principal: Principal) -> Hashable:
    return principal.key_id, principal.issued_by, principal.token_epoch
