"""Which service the operator's commands speak to, and the token they show it."""

import json
import os
import re
from dataclasses import dataclass, field
from typing import Final

from agentflow_cloud.errors import CommandError
from agentflow_cloud.state import dev_file

_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")


@dataclass(frozen=True, slots=True)
class Target:
    """A running service, and what opens its operator's routes."""

    base_url: str
    token: str = field(repr=False)


def target() -> Target:
    """The service that the environment names, else that of `make run` in the state folder.

    Raises:
        CommandError: Neither is there, or one of them cannot be used; what to set.
    """
    url, token = os.environ.get("AGENTFLOW_URL"), os.environ.get("AGENTFLOW_OPERATOR_TOKEN")
    if url and not token:
        # A development stack's token is never shown to another server.
        raise CommandError("Set AGENTFLOW_OPERATOR_TOKEN too, to the token of the service at AGENTFLOW_URL.")
    known = {} if url else _of_dev_file()
    return Target(_checked_url(url or known["base_url"]), _checked_token(token or known["operator_token"]))


def _of_dev_file() -> dict[str, str]:
    file = dev_file()
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return {name: str(known[name]) for name in ("base_url", "operator_token")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"No service is known here ({file} cannot be read): start one with `make run`, "
            "or set AGENTFLOW_URL and AGENTFLOW_OPERATOR_TOKEN."
        ) from error


def _checked_url(url: str) -> str:
    if not _URL.fullmatch(url):
        raise CommandError("AGENTFLOW_URL must be like http://127.0.0.1:8000.")
    return url.rstrip("/")


def _checked_token(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise CommandError("AGENTFLOW_OPERATOR_TOKEN holds characters that no header can carry.")
    return token
