"""The config of one run, read from the caller's dict."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from agentflow.core.graph.budget import Budget, budget_of
from agentflow.core.state.message import new_id
from agentflow.errors import InvalidIdError, InvalidInputError
from agentflow.storage.checkpointer.types import Scope
from agentflow.utils.constants import DEFAULT_NODE_TIMEOUT_S, DEFAULT_RECURSION_LIMIT, DEFAULT_TOOL_TIMEOUT_S

logger = logging.getLogger("agentflow.graph")

MAX_ID_BYTES = 512
_MAX_RUN_ID_BYTES = 255
_LONGEST_S = 10**9

WhenBusy = Literal["enqueue", "reject", "interrupt", "rollback"]
WHEN_BUSY: Final[tuple[WhenBusy, ...]] = get_args(WhenBusy)
Durability = Literal["sync", "async", "exit"]
DURABILITY: Final[tuple[Durability, ...]] = get_args(Durability)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a run was asked to do.

    Attributes:
        when_busy: What to do while another run holds the thread.
        checkpoint: Version to run from; None is the latest.
        rejoin_since: The run may have begun before, but not before this time: then it goes on.
        durability: When a checkpoint must be durable.
        values: The caller's own dict, copied, with `thread_id` and `run_id` filled in: what nodes get.
        lock_wait_s: How long to wait for the thread; None is the checkpointer's default.
        budget: What it may spend; None is no limit.
        before_input: Waited for before anything of it is stored; None is nothing to wait for.
    """

    thread_id: str
    run_id: str
    scope: Scope
    user_id: str | None
    recursion_limit: int
    node_timeout_s: float | None
    tool_timeout_s: float | None
    lock_wait_s: float | None
    when_busy: WhenBusy = "enqueue"
    checkpoint: int | None = None
    rejoin_since: datetime | None = None
    durability: Durability = "sync"
    thread_name: str | None = None
    budget: Budget | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    before_input: Callable[[], Awaitable[None]] | None = None


def run_config(config: Mapping[str, Any] | None) -> RunConfig:
    """Read and check a caller's config.

    Raises:
        InvalidInputError, InvalidIdError: A value is of the wrong kind; the message names the key.
    """
    values = dict(config or {})
    thread_id = _text_id(values, "thread_id", limit_bytes=MAX_ID_BYTES)
    if thread_id is None:
        thread_id = new_id()
        logger.warning(
            "No thread_id in the config: this run got a new thread %s. Pass config={'thread_id': ...} "
            "to continue a conversation; without it nothing is remembered between calls.",
            thread_id,
        )
    run_id = _text_id(values, "run_id", limit_bytes=_MAX_RUN_ID_BYTES) or new_id()
    values |= {"thread_id": thread_id, "run_id": run_id}
    return RunConfig(
        thread_id=thread_id,
        run_id=run_id,
        scope=scope_of(values),
        user_id=_text_id(values, "user_id", limit_bytes=_MAX_RUN_ID_BYTES),
        recursion_limit=_recursion_limit(values.get("recursion_limit", DEFAULT_RECURSION_LIMIT)),
        node_timeout_s=_seconds(values, "node_timeout", DEFAULT_NODE_TIMEOUT_S),
        tool_timeout_s=_seconds(values, "tool_timeout", DEFAULT_TOOL_TIMEOUT_S),
        lock_wait_s=_seconds(values, "lock_wait", None, zero_is_none=False),
        when_busy=_one_of(values, "when_busy", WHEN_BUSY),
        checkpoint=_version(values),
        rejoin_since=_time(values, "rejoin_since"),
        durability=_one_of(values, "durability", DURABILITY),
        thread_name=_text_id(values, "thread_name", limit_bytes=_MAX_RUN_ID_BYTES),
        budget=budget_of(values),
        metadata=_metadata(values),
        values=values,
    )


def required_thread_id(config: Mapping[str, Any]) -> str:
    """The config's thread id.

    Raises:
        InvalidIdError: It is missing or cannot be stored.
    """
    thread_id = _text_id(config, "thread_id", limit_bytes=MAX_ID_BYTES)
    if thread_id is None:
        raise InvalidIdError("The config needs a thread_id: pass config={'thread_id': ...}.")
    return thread_id


def scope_of(config: Mapping[str, Any]) -> Scope:
    """The scope bound in the config, or that of the tenant it names; else the standalone one."""
    scope = config.get("scope")
    if scope is None:
        return _scope_of_tenant(config)
    if not isinstance(scope, Scope):
        raise InvalidInputError("config['scope'] must be an agentflow.storage.checkpointer.Scope.")
    return scope


def _scope_of_tenant(config: Mapping[str, Any]) -> Scope:
    named = config.get("tenant_id")
    if isinstance(named, UUID):
        return Scope(named)
    name = _text_id(config, "tenant_id", limit_bytes=_MAX_RUN_ID_BYTES)
    return Scope() if name is None else Scope.of_tenant(name)


def _text_id(config: Mapping[str, Any], key: str, *, limit_bytes: int) -> str | None:
    value = config.get(key)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidIdError(f"config[{key!r}] must be text or a whole number, not {type(value).__name__}.")
    if not value.strip():
        return None
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidIdError(f"config[{key!r}] holds half a surrogate pair, which is not text.") from error
    if size > limit_bytes:
        raise InvalidIdError(f"config[{key!r}] is {size} bytes; at most {limit_bytes} are stored.")
    if "\0" in value:
        raise InvalidIdError(f"config[{key!r}] holds a NUL character, which cannot be stored.")
    return value


def _recursion_limit(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInputError("config['recursion_limit'] must be a whole number of at least 1.")
    return value


def _seconds(
    config: Mapping[str, Any], key: str, default: float | None, *, zero_is_none: bool = True
) -> float | None:
    value = config.get(key, default)
    if value is None or (value == 0 and zero_is_none):
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LONGEST_S:
        raise InvalidInputError(f"config[{key!r}] must be a number of seconds, or None for no limit.")
    return float(value)


def _one_of[T: str](config: Mapping[str, Any], key: str, known: tuple[T, ...]) -> T:
    """One of the words known for the key; the first of them when nothing is said."""
    value = config.get(key)
    for word in known:
        if value is None or value == word:
            return word
    raise InvalidInputError(f"config[{key!r}] must be one of {', '.join(known)}, not {value!r}.")


def _version(config: Mapping[str, Any]) -> int | None:
    value = config.get("checkpoint")
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise InvalidInputError("config['checkpoint'] must be the number of a checkpoint of the thread.")
    return value


def _time(config: Mapping[str, Any], key: str) -> datetime | None:
    value = config.get(key)
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise InvalidInputError(f"config[{key!r}] must be a datetime with its time zone.")
    return value


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    metadata = config.get("thread_metadata") or {}
    if not isinstance(metadata, dict):
        raise InvalidInputError("config['thread_metadata'] must be a dict.")
    return metadata
