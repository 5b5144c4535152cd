"""Which service the commands speak to, and the credential they show it."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agentflow_cloud.errors import CommandError
from agentflow_cloud.state import dev_file

_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")


@dataclass(frozen=True, slots=True)
class Target:
    """A running service, and what opens its routes."""

    base_url: str
    token: str = field(repr=False)


def operator_target() -> Target:
    """The service that the environment names, else that of `make run`; with the operator's token.

    Raises:
        CommandError: Neither is there, or one of them cannot be used; what to set.
    """
    return _target("AGENTFLOW_OPERATOR_TOKEN", "operator_token")


def health_target() -> Target:
    """The service, with the operator's token if one is known; without it only what is public may be asked.

    Raises:
        CommandError: No service is known, or what is known cannot be used.
    """
    url = os.environ.get("AGENTFLOW_URL")
    if url and not os.environ.get("AGENTFLOW_OPERATOR_TOKEN"):
        return Target(_checked_url(url), "")
    return operator_target()


def tenant_target() -> Target:
    """The same with a tenant's API key.

    Raises:
        CommandError: As `operator_target`.
    """
    return _target("AGENTFLOW_API_KEY", "api_key")


def _target(variable: str, field: str) -> Target:
    url, token = os.environ.get("AGENTFLOW_URL"), os.environ.get(variable)
    if url and not token:
        # A development stack's token is never shown to another server.
        raise CommandError(f"Set {variable} too, to that of the service at AGENTFLOW_URL.")
    wanted = ("base_url",) if token else ("base_url", field)
    known = {} if url else _of_dev_file(variable, wanted)
    return Target(_checked_url(url or known["base_url"]), _checked(variable, token or known[field]))


def _of_dev_file(variable: str, wanted: Sequence[str]) -> dict[str, str]:
    file = dev_file()
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return {name: str(known[name]) for name in wanted}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"No service is known here ({file} cannot be read): start one with `make run`, "
            f"or set AGENTFLOW_URL and {variable}."
        ) from error


def _checked_url(url: str) -> str:
    if not _URL.fullmatch(url):
        raise CommandError("AGENTFLOW_URL must be like http://127.0.0.1:8000.")
    return url.rstrip("/")


def _checked(variable: str, token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise CommandError(f"{variable} holds characters that no header can carry.")
    return token
