"""A LangGraph checkpoint as the JSON that a thread's fields hold for its namespace, and back.

    {"langgraph": {"": entry, "|child:1": entry, ...}}

Channel values stand in it one by one, encoded: the next checkpoint's delta holds only the changed ones.
Entries of nested namespaces leave the fields when the graph above them moves on; history keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

from agentflow.errors import CorruptStateError, InvalidInputError
from agentflow.integrations.langgraph.values import Values, is_data
from agentflow.storage.checkpointer.delta import Fields, Json
from agentflow.storage.checkpointer.langgraph_store import ROOT

Entry = dict[str, Json]
Spaces = dict[str, Entry]

MESSAGES: Final = "messages"
_KEY: Final = "langgraph"
# What an entry says of a checkpoint beside its values; other keys go into `more`.
_PARTS: Final = {
    "v",
    "id",
    "ts",
    "channel_values",
    "channel_versions",
    "versions_seen",
    "updated_channels",
}


def node_of(checkpoint_ns: str) -> str:
    """The node that a namespace's checkpoints have."""
    return f"|{checkpoint_ns}" if checkpoint_ns else ROOT


def namespace_of(node: str) -> str:
    """LangGraph's name of a node's namespace."""
    return node[1:]


def spaces_of(fields: Fields, thread_id: str) -> Spaces:
    """The entries of a thread's fields.

    Raises:
        InvalidInputError: The thread belongs to no LangGraph graph.
    """
    spaces = fields.get(_KEY)
    if not isinstance(spaces, dict):
        raise InvalidInputError(
            f"Thread {thread_id!r} was not written by a LangGraph graph; give the graph another thread id."
        )
    return spaces


def fields_with(spaces: Spaces) -> Fields:
    """A thread's fields with these entries."""
    return {_KEY: spaces}


def step_forward(spaces: Spaces, node: str, entry: Entry) -> Spaces:
    """The entries once `node` has this one: those below its checkpoint before are left to history."""
    namespace = namespace_of(node)
    live = {name: other for name, other in spaces.items() if _is_live(other, namespace, entry["id"])}
    return {**live, node: entry}


def _is_live(entry: Entry, above: str, checkpoint_id: str) -> bool:
    parents = entry["metadata"].get("parents")
    return not isinstance(parents, dict) or parents.get(above, checkpoint_id) == checkpoint_id


def encode_entry(
    checkpoint: Checkpoint,
    metadata: Mapping[str, Any],
    parent: str | None,
    seq: int,
    channels: Mapping[str, Json],
    values: Values,
    *,
    has_rows: bool,
) -> Entry:
    """The entry of a checkpoint, with its channel values already encoded.

    Raises:
        StateEncodingError: Part of it cannot be stored as data.
    """
    entry: Entry = {
        "v": checkpoint["v"],
        "id": checkpoint["id"],
        "ts": checkpoint["ts"],
        "seq": seq,
        "parent": parent,
        "metadata": {key: _listed(value) for key, value in metadata.items() if is_data(_listed(value))},
        "versions": dict(checkpoint["channel_versions"]),
        "seen": {node: dict(seen) for node, seen in checkpoint["versions_seen"].items()},
        "values": dict(channels),
    }
    if has_rows:
        entry["rows"] = True
    if "updated_channels" in checkpoint:
        entry["updated"] = checkpoint["updated_channels"]
    if typed := {key: value for key, value in metadata.items() if key not in entry["metadata"]}:
        entry["metadata_values"] = values.dump(typed, field="metadata")
    if more := {
        key: value for key, value in checkpoint.items() if key not in _PARTS and value not in ([], None)
    }:
        entry["more"] = values.dump(more, field="checkpoint")
    return entry


def encode_channels(
    checkpoint: Checkpoint,
    new_versions: ChannelVersions,
    base: Entry | None,
    skip: str | None,
    values: Values,
) -> dict[str, Json]:
    """The channels' values encoded; those that have not changed since `base` are taken from it.

    Args:
        checkpoint: With every channel's value.
        new_versions: The channels that this step wrote.
        base: The entry of the checkpoint before, if that is the parent.
        skip: A channel that is stored in another way.
        values: How to encode.
    """
    encoded = {}
    for channel, value in checkpoint["channel_values"].items():
        if channel == skip:
            continue
        version = checkpoint["channel_versions"].get(channel)
        if base is not None and channel not in new_versions and version is not None:
            known = base["values"].get(channel)
            if known is not None and base["versions"].get(channel) == version:
                encoded[channel] = known
                continue
        encoded[channel] = values.dump(value, field=channel)
    return encoded


def decode_checkpoint(entry: Entry, messages: Sequence[Any], values: Values) -> Checkpoint:
    """The checkpoint of an entry and its messages.

    Raises:
        CorruptStateError: The entry is not what `encode_entry` makes.
    """
    try:
        channels = {channel: values.load(stored) for channel, stored in entry["values"].items()}
        if entry.get("rows"):
            channels[MESSAGES] = list(messages)
        checkpoint: dict[str, Any] = {
            "v": entry["v"],
            "id": entry["id"],
            "ts": entry["ts"],
            "channel_values": channels,
            "channel_versions": dict(entry["versions"]),
            "versions_seen": {node: dict(seen) for node, seen in entry["seen"].items()},
        }
        if "updated" in entry:
            checkpoint["updated_channels"] = entry["updated"]
        if "more" in entry:
            checkpoint.update(values.load(entry["more"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CorruptStateError("A stored checkpoint is not what was written; it was not used.") from error
    return cast("Checkpoint", checkpoint)


def decode_metadata(entry: Entry, values: Values) -> CheckpointMetadata:
    """The metadata of an entry.

    Raises:
        CorruptStateError: As for `decode_checkpoint`.
    """
    metadata = dict(entry["metadata"])
    if "metadata_values" in entry:
        metadata.update(values.load(entry["metadata_values"]))
    return cast("CheckpointMetadata", metadata)


def _listed(value: Any) -> Any:
    """Tuples as lists, which LangGraph takes for the same in metadata."""
    if isinstance(value, tuple | list):
        return [_listed(item) for item in value]
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return value
