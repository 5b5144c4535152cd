"""What a LangGraph config addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig

from agentflow.errors import InvalidIdError, InvalidInputError


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a thread; None for a checkpoint is the last one."""

    thread_id: str
    namespace: str
    checkpoint_id: str | None

    def config(self, checkpoint_id: str) -> RunnableConfig:
        """The config that names a checkpoint of this namespace."""
        return config_of(self.thread_id, self.namespace, checkpoint_id)


def address_of(config: Mapping[str, Any]) -> Address:
    """What a config names.

    Raises:
        InvalidInputError: No thread.
    """
    where = config.get("configurable") or {}
    if where.get("thread_id") is None:
        raise InvalidInputError(
            'A saver needs to know the thread: give config={"configurable": {"thread_id": "..."}}.'
        )
    return Address(
        str(where["thread_id"]), str(where.get("checkpoint_ns") or ""), where.get("checkpoint_id") or None
    )


def config_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def uuid_of(checkpoint_id: str) -> UUID:
    """A checkpoint's id as it is stored.

    Raises:
        InvalidIdError: It is no UUID in its usual form, as LangGraph's are.
    """
    try:
        value = UUID(checkpoint_id)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidIdError(f"A checkpoint's id is a UUID, not {checkpoint_id!r}.") from error
    if str(value) != checkpoint_id:
        raise InvalidIdError(f"Write the checkpoint's id {checkpoint_id!r} as {value}.")
    return value
