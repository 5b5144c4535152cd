"""Tenants' names, and the thread ids built with them."""

import re
from typing import Final

from agentflow_tenancy.errors import InvalidSlugError

_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)


def check_slug(slug: str) -> str:
    """The slug itself, if it is one.

    Raises:
        InvalidSlugError: Not 1 to 40 of `a-z 0-9 -`, or a hyphen at an end.
    """
    if not _SLUG.fullmatch(slug):
        raise InvalidSlugError("A slug is 1 to 40 characters of a-z, 0-9 and '-', with no '-' at either end.")
    return slug


def stored_thread_id(slug: str, public_id: str) -> str:
    """The id a hosted thread has in the database: the guide's `tenant-<slug>:` prefix on every one.

    A slug holds no colon, so no two tenants' ids can be equal, whatever the public ids are.
    """
    return f"tenant-{slug}:{public_id}"


def public_thread_id(slug: str, stored_id: str) -> str:
    """The id without its tenant's prefix."""
    return stored_id.removeprefix(f"tenant-{slug}:")
