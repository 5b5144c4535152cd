"""From a presented key to the principal it stands for."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from uuid import UUID

from agentflow_tenancy.errors import CredentialError, TenantLeavingError, TenantSuspendedError
from agentflow_tenancy.keys import ApiKey, parse_api_key
from agentflow_tenancy.lookups import Lookups
from agentflow_tenancy.repository import TenantRepository
from agentflow_tenancy.tenants import KeyRecord, Principal, Tenant

_UNKNOWN = "This API key is not valid."
_GONE = "This tenant was offboarded: nothing of it is there any more."


class Authenticator:
    """Checks keys, remembering good ones for less than a second: so long may a revoked one live on.

    Nothing but the key decides the tenant. Refused keys are not remembered, and all are refused alike. A key
    in steady use is looked up again before it would be forgotten, so that no request waits for that. While
    Postgres is away nobody is let in for longer than what is remembered.
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
        self._pepper = pepper
        self._repository = repository
        # Which key proved which stored digest, by a fingerprint that means nothing outside this process. It
        # saves the next request's HMAC, not the look-up: whether the key is still good is asked each time.
        self._secret = secrets.token_bytes(32)
        self._proved: dict[bytes, tuple[str, bytes]] = {}
        self._most_proved = most_remembered
        self._records: Lookups[str, KeyRecord | None] = Lookups(
            repository.find_key, worth=_is_good, remember_s=remember_s, most=most_remembered, clock=clock
        )

    async def authenticate(self, presented: str, *, may_leave: bool = False) -> Principal:
        """The principal of a key.

        Args:
            presented: The key.
            may_leave: Also let in whose tenant is being offboarded.

        Raises:
            CredentialError: Malformed, unknown, revoked or expired.
            TenantSuspendedError: The key is good, its tenant is suspended.
            TenantLeavingError: The key is good, or was; its tenant is being offboarded, or is gone.
            StoreUnavailableError: Postgres does not answer.

        No round trip while remembered, one otherwise, shared; two for an unknown key, none for a
        mistyped one.
        """
        fingerprint = hashlib.blake2b(
            presented.encode(errors="surrogatepass"), key=self._secret, digest_size=32
        ).digest()
        proved = self._proved.get(fingerprint)
        if proved is not None:
            record = await self._records.get(proved[0])
            if record is not None and record.digest == proved[1]:
                return _active(record, may_leave=may_leave)
        key = parse_api_key(presented)
        record = await self._records.get(key.key_id)
        if record is None and await self._repository.is_ended(key.digest(self._pepper)):
            raise TenantLeavingError(_GONE)
        if record is None or not self._proves(key, record.digest):
            raise CredentialError(_UNKNOWN)
        if len(self._proved) >= self._most_proved:
            self._proved.clear()
        self._proved[fingerprint] = (key.key_id, record.digest)
        return _active(record, may_leave=may_leave)

    async def principal_of(self, key_id: str, *, within_s: float | None = None) -> Principal:
        """The principal of a key by its id alone, for who has proved by other means that it may use it.

        Args:
            key_id: Of the key.
            within_s: How old what is known of it may be, when less than what is remembered.

        Raises:
            CredentialError, TenantSuspendedError, StoreUnavailableError: See `authenticate`.
        """
        record = await self._records.get(key_id, within_s=within_s)
        if record is None:
            raise CredentialError(_UNKNOWN)
        return _active(record)

    async def refuse_gone(self, tenant_id: UUID) -> None:
        """For who has proved by other means that a tenant let them in.

        Raises:
            TenantLeavingError: It was offboarded since.
        """
        if await self._repository.is_gone(tenant_id):
            raise TenantLeavingError(_GONE)

    def _proves(self, key: ApiKey, digest: bytes) -> bool:
        return hmac.compare_digest(digest, key.digest(self._pepper))


def _is_good(record: KeyRecord | None) -> bool:
    return record is not None and not (record.revoked or record.expired)


def _active(record: KeyRecord, *, may_leave: bool = False) -> Principal:
    if not _is_good(record):
        raise CredentialError(_UNKNOWN)
    check_active(record.principal.tenant, may_leave=may_leave)
    return record.principal


def check_active(tenant: Tenant, *, may_leave: bool = False) -> None:
    """Whether a tenant's good credentials let anybody in.

    Raises:
        TenantSuspendedError, TenantLeavingError: They do not.
    """
    if tenant.state == "offboarding":
        if not may_leave:
            raise TenantLeavingError(
                "This tenant is being offboarded: nothing of it is read or written any more."
            )
    elif tenant.state != "active":
        raise TenantSuspendedError("This tenant is suspended.")
