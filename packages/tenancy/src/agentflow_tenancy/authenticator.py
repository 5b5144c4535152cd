"""From a presented key to the principal it stands for."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable

from agentflow_tenancy.errors import CredentialError, TenantSuspendedError
from agentflow_tenancy.keys import parse_api_key
from agentflow_tenancy.repository import TenantRepository
from agentflow_tenancy.tenants import Principal

_UNKNOWN = "This API key is not valid."


class Authenticator:
    """Checks keys, remembering good ones for less than a second: so long may a revoked one live on.

    Nothing but the key decides the tenant. Refused keys are not remembered, and all are refused alike.
    """

    def __init__(
        self,
        repository: TenantRepository,
        pepper: bytes,
        *,
        remember_s: float = 0.8,
        most_remembered: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is remembered yet."""
        self._repository = repository
        self._pepper = pepper
        self._remember_s = remember_s
        self._most = most_remembered
        self._clock = clock
        self._good: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def authenticate(self, presented: str) -> Principal:
        """The principal of a key.

        Raises:
            CredentialError: Malformed, unknown, revoked or expired.
            TenantSuspendedError: The key is good, its tenant is suspended.
            StoreUnavailableError: Postgres does not answer.

        No round trip while remembered, one otherwise; none for a mistyped key.
        """
        key = parse_api_key(presented)
        digest = key.digest(self._pepper)
        remembered = self._good.get(digest)
        if remembered is not None and self._clock() < remembered[0]:
            return remembered[1]
        asked_at = self._clock()
        record = await self._repository.find_key(key.key_id)
        if (
            record is None
            or not hmac.compare_digest(record.digest, digest)
            or record.revoked
            or record.expired
        ):
            self._good.pop(digest, None)
            raise CredentialError(_UNKNOWN)
        if record.principal.tenant.state != "active":
            self._good.pop(digest, None)
            raise TenantSuspendedError("This tenant is suspended.")
        # From when it was asked, not answered: a slow answer must not stretch a revoked key's life.
        self._good[digest] = (asked_at + self._remember_s, record.principal)
        if len(self._good) > self._most:
            self._good.popitem(last=False)
        return record.principal
