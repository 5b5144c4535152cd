"""What a Postgres driver raises, as this library's errors: translated here and nowhere else."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

import asyncpg
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi

from agentflow.errors import (
    ConfigurationError,
    InvalidInputError,
    StorageError,
    StoreUnavailableError,
    TenantGoneError,
)

# Lost or refused connections, shutdowns, too many clients, a full disk, locks and deadlocks: may be retried.
_TRANSIENT: Final = (
    OSError,
    TimeoutError,
    exc.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InternalClientError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, in the middle of a failover
)


_OF_DRIVER: Final = (*_TRANSIENT, asyncpg.PostgresError)


class RowVanishedError(StorageError):
    """A statement undid itself because the thread it was to extend is gone. Never leaves the writer."""


class NoPartitionError(StorageError):
    """A row's placement has no partition: there never was one, or the tenant has moved and it was dropped."""


# What refers to a tenant names its constraint so.
_OF_TENANT: Final = "_tenant_id_fkey"
_REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


class _Translated:
    """See `translated`. It knows nothing, so there is one."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        meant = None if error is None else meaning_of(error)
        if meant is not None:
            raise meant from error


_TRANSLATED: Final = _Translated()


def translated() -> AbstractContextManager[None]:
    """Raise this library's errors for the driver's, in the block.

    Raises:
        StoreUnavailableError: Postgres did not answer, or could not now; the call may be retried.
        ConfigurationError: Postgres refused the login or has no such database.
        InvalidInputError: A value is outside what a column can hold.
        TenantGoneError: A row was to refer to a tenant that is not there any more.
        StorageError: Anything else Postgres refused.
    """
    return _TRANSLATED


def meaning_of(error: BaseException) -> Exception | None:
    """This library's error for the driver's; None for what the driver has not raised."""
    if isinstance(error, exc.DBAPIError):
        return _meaning(error.orig.__cause__ if error.orig is not None else None, error)
    if isinstance(error, AsyncAdapt_asyncpg_dbapi.Error):
        # The pool itself failed to connect, which SQLAlchemy passes on without a wrapper of its own.
        return _meaning(error.__cause__, error)
    if isinstance(error, _OF_DRIVER):
        return _meaning(error, error)
    return None


def _meaning(found: BaseException | None, error: BaseException) -> Exception:
    cause = error if found is None else found
    kind = type(cause).__name__
    if isinstance(cause, _REFUSED):
        return ConfigurationError(
            f"Postgres refused the connection ({kind}): check user, password and database name in the URL."
        )
    if isinstance(cause, _TRANSIENT):
        return StoreUnavailableError(
            f"Postgres did not answer ({kind}). Check that it runs and the URL's host and port; "
            "the call may be repeated, nothing is stored twice."
        )
    if isinstance(cause, asyncpg.DivisionByZeroError):
        return RowVanishedError("The thread is gone.")
    if isinstance(cause, asyncpg.CheckViolationError) and cause.constraint_name is None:
        return NoPartitionError(
            "There is no partition for this placement: make it with the statements of "
            "partition_statements(placement)."
        )
    if isinstance(cause, asyncpg.ForeignKeyViolationError) and _is_of_tenant(cause):
        return TenantGoneError("This tenant was offboarded: nothing of it is there any more.")
    if isinstance(cause, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError):
        return InvalidInputError(f"Postgres cannot store a value of this checkpoint ({kind}).")
    if isinstance(cause, asyncpg.InsufficientPrivilegeError):
        return StorageError(
            "The database role lacks a right: let it create tables in its schema, or run the migrations "
            "first with a role that may."
        )
    if isinstance(cause, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return StorageError("The database's tables are missing or of another version: run the migrations.")
    return StorageError(f"Postgres refused the statement ({kind}).")


def _is_of_tenant(error: asyncpg.ForeignKeyViolationError) -> bool:
    return str(error.constraint_name or "").endswith(_OF_TENANT)
