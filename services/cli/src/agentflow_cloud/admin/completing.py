"""What the Tab key offers beside the words of the commands: names that the service knows."""

import argparse
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from agentflow_cloud.errors import CommandError

type Completer = Callable[..., list[str]]

# Somebody waits with a finger on the key.
_TIMEOUT_S: Final = 2.0
_MOST: Final = 100


def completed_by(action: argparse.Action, completer: Completer) -> None:
    """Have an argument's values offered; argcomplete looks for them under this name."""
    action.completer = completer  # type: ignore[attr-defined]  # what argcomplete looks for


def tenant_slugs(prefix: str, **_: Any) -> list[str]:
    """Slugs that begin so."""
    return _offered(f"/tenants?{urlencode({'search': prefix, 'limit': _MOST})}", "tenants", "slug")


def key_ids(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:  # noqa: ARG001 - argcomplete's
    """Keys of the tenant that stands before."""
    return _offered(f"/tenants/{parsed_args.tenant}/keys?limit={_MOST}", "keys", "key_id")


def operation_ids(prefix: str, **_: Any) -> list[str]:  # noqa: ARG001 - argcomplete's
    """The latest moves."""
    return _offered(f"/operations?limit={_MOST}", "operations", "operation_id")


def offboarding_ids(prefix: str, **_: Any) -> list[str]:  # noqa: ARG001 - argcomplete's
    """The latest offboardings."""
    return _offered(f"/offboardings?limit={_MOST}", "offboardings", "offboarding_id")


def thread_ids(prefix: str, **_: Any) -> list[str]:  # noqa: ARG001 - argcomplete's
    """The threads that were last used."""
    return _offered(f"/threads?limit={_MOST}", "threads", "thread_id", own=True)


def _offered(path: str, name: str, field: str, *, own: bool = False) -> list[str]:
    """None where nobody answers: completion is a help, and never an error."""
    from agentflow_cloud.admin.client import own_service, service

    try:
        client = own_service(timeout_s=_TIMEOUT_S) if own else service(timeout_s=_TIMEOUT_S)
        return [entry[field] for entry in client.call("GET", path)[name]]
    except CommandError:
        return []
