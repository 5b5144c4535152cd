"""What a command prints: JSON for scripts, text for people."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentflow_cloud.admin.text import sheet, table


def show_one(chosen: argparse.Namespace, entry: Mapping[str, Any]) -> None:
    """Print an entry as the service gave it, or a field a line."""
    print(json.dumps(entry, indent=1) if chosen.json else sheet(entry))


def show_all(chosen: argparse.Namespace, columns: Sequence[str], entries: Iterable[dict[str, Any]]) -> None:
    """Print entries as a JSON array, or some of their fields as a table."""
    print(json.dumps(list(entries), indent=1) if chosen.json else table(columns, entries))


def show_key(chosen: argparse.Namespace, data: Mapping[str, Any]) -> None:
    """Print what came with a new key, and the key."""
    if chosen.json:
        print(json.dumps(data, indent=1))
        return
    rest = {name: value for name, value in data.items() if name not in ("api_key", "key", "replaced")}
    lines = [data["api_key"], "", "This is the API key. Keep it now: it cannot be read again.", ""]
    lines.append(sheet(rest or data["key"]))
    if "replaced" in data:
        old = data["replaced"]
        lines += ["", f"The key {old['key_id']} is good until {old['expires_at']}."]
    print("\n".join(lines))
