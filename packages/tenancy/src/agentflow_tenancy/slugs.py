"""Tenants' names, and the thread ids built with them."""

import re
from typing import Final

from agentflow_tenancy.errors import InvalidSlugError

_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.ASCII)


def check_slug(slug: str) -> str:
    """The slug itself, if it is one.

    Raises:
        InvalidSlugError: Not 1 to 40 of `a-z 0-9 -`, or a hyphen at an end, or it reads like a tenant's id.
    """
    if not _SLUG.fullmatch(slug):
        raise InvalidSlugError("A slug is 1 to 40 characters of a-z, 0-9 and '-', with no '-' at either end.")
    if reads_like_id(slug):
        raise InvalidSlugError("A slug cannot read like an id: it could be taken for another tenant's.")
    return slug


def reads_like_id(named: str) -> bool:
    """Whether a name is a tenant's id, which no slug is."""
    return _ID.fullmatch(named) is not None


def stored_thread_id(slug: str, public_id: str) -> str:
    """The id a hosted thread has in the database: the guide's `tenant-<slug>:` prefix on every one.

    A slug holds no colon, so no two tenants' ids can be equal, whatever the public ids are.
    """
    return f"tenant-{slug}:{public_id}"


def public_thread_id(slug: str, stored_id: str) -> str:
    """The id without its tenant's prefix."""
    return stored_id.removeprefix(f"tenant-{slug}:")
