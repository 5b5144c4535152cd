"""What a command prints: JSON for scripts, text for people."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentflow_cloud.terminal.tables import say_sheet, say_table


def show_json(data: Any) -> None:
    """Print what scripts read."""
    print(json.dumps(data, indent=1))


def show_one(chosen: argparse.Namespace, entry: Mapping[str, Any]) -> None:
    """Print an entry as the service gave it, or a field a line."""
    show_json(entry) if chosen.json else say_sheet(entry)


def show_all(chosen: argparse.Namespace, columns: Sequence[str], entries: Iterable[dict[str, Any]]) -> None:
    """Print entries as a JSON array, or some of their fields as a table."""
    show_json(list(entries)) if chosen.json else say_table(columns, entries)


def show_key(chosen: argparse.Namespace, data: Mapping[str, Any]) -> None:
    """Print what came with a new key, and the key."""
    if chosen.json:
        show_json(data)
        return
    rest = {name: value for name, value in data.items() if name not in ("api_key", "key", "replaced")}
    print(f"{data['api_key']}\n\nThis is the API key. Keep it now: it cannot be read again.\n")
    say_sheet(rest or data["key"])
    if "replaced" in data:
        old = data["replaced"]
        print(f"\nThe key {old['key_id']} is good until {old['expires_at']}.")
