"""The spans of storage: whose rows, how many bytes, whether a cache had them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal
from uuid import UUID

from agentflow.storage.checkpointer.types import FIRST_OWN_PLACEMENT, Scope
from agentflow.utils import span_names as names
from agentflow.utils.spans import NO_SPAN, AnySpan, listening, open_leaf, sampled_span

CacheResult = Literal["hit", "miss", "off", "stale"]
LockOutcome = Literal["acquired", "busy", "timeout", "degraded", "lost"]

_STATEMENT: Final = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM|FROM)\s+(agentflow_\w+)")


def owner_of(scope: Scope) -> Mapping[str, str]:
    """Tenant and kind of placement: from the scope, and nothing that a caller says."""
    return owner_attributes(scope.tenant_id, scope.placement)


@lru_cache(maxsize=4096)
def owner_attributes(tenant_id: UUID, placement: int) -> Mapping[str, str]:
    """The same, made once a tenant: six spans of a turn ask for it. Nobody changes it."""
    kind = "pool" if placement < FIRST_OWN_PLACEMENT else "dedicated"
    return {names.TENANT: str(tenant_id), names.PLACEMENT: kind}


def put_span(scope: Scope, size_bytes: int) -> AnySpan:
    """Of one checkpoint that is made durable, the wait for its group included."""
    if not listening():
        return NO_SPAN
    return open_leaf(names.PUT_SPAN, {**owner_of(scope), names.BYTES: size_bytes})


def get_span(scope: Scope) -> AnySpan:
    """Of one thread that is read, at any version, whole or in part."""
    return open_leaf(names.GET_SPAN, owner_of(scope)) if listening() else NO_SPAN


def list_span(scope: Scope) -> AnySpan:
    """Of a look over threads or over versions."""
    return open_leaf(names.LIST_SPAN, owner_of(scope)) if listening() else NO_SPAN


def lock_span(scope: Scope) -> AnySpan:
    """Of the wait for a thread's lock."""
    return open_leaf(names.LOCK_SPAN, owner_of(scope)) if listening() else NO_SPAN


def note_cache(span: AnySpan, result: CacheResult) -> None:
    """Where what was read came from."""
    if span.recording:
        span.note({names.CACHE: result})


def note_lock(span: AnySpan, outcome: LockOutcome) -> None:
    """How the wait ended."""
    if span.recording:
        span.note({names.LOCK: outcome})


def statement_span(statement: str, *, batch: int = 1) -> AnySpan:
    """Of one statement, for whoever looks at this trace: none where it does not leave the process."""
    if sampled_span() is None:
        return NO_SPAN
    operation, table = _named(statement)
    attributes: dict[str, str | int] = {names.DB_SYSTEM: "postgresql", names.DB_OPERATION: operation}
    if table:
        attributes[names.DB_TABLE] = table
    if batch > 1:
        attributes[names.DB_BATCH] = batch
    return open_leaf(f"{operation} {table}".rstrip(), attributes, kind="CLIENT")


def script_span() -> AnySpan:
    """The same of one call of a script in Redis."""
    if sampled_span() is None:
        return NO_SPAN
    attributes = {names.DB_SYSTEM: "redis", names.DB_OPERATION: "EVALSHA"}
    return open_leaf("EVALSHA", attributes, kind="CLIENT")


@lru_cache(maxsize=1024)
def _named(statement: str) -> tuple[str, str]:
    """What a statement does and to which table: the first that it changes, else the first that it reads."""
    found = _STATEMENT.findall(statement)
    verb, table = next((one for one in found if one[0] != "FROM"), found[0] if found else ("FROM", ""))
    return ("SELECT" if verb == "FROM" else verb.split()[0]), table
