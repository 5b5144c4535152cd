"""`agentflow-cloud signing-key`: what the service signs its tokens with."""

import argparse

from agentflow_cloud.admin.arguments import Commands, command, group
from agentflow_cloud.admin.client import service
from agentflow_cloud.admin.output import show_one


def add_signing_key_commands(commands: Commands) -> None:
    """Add `signing-key` and its command."""
    signing_key = group(commands, "signing-key", "keys that the service signs tokens with")
    summary = "sign with a new key from now on; tokens of the old one are good until they end"
    command(
        signing_key, "rotate", _rotate, summary, "signing-key rotate\nsigning-key rotate --json | jq -r .kid"
    )


def _rotate(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("POST", "/signing-keys/rotate"))
