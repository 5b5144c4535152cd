"""Where a page of a search begins: opaque to clients, and harmless when made up."""

import base64
import binascii
import json

from agentflow.storage.checkpointer import ThreadInfo, ThreadPlace, ThreadSort
from agentflow.storage.checkpointer.filters import sort_key
from agentflow_api.http import parameters
from agentflow_tenancy import Principal


def cursor_behind(info: ThreadInfo, sort: ThreadSort, principal: Principal) -> str:
    """The cursor of the page behind a thread, good for this order."""
    key = sort_key(sort, info.created_at, info.updated_at)
    words = json.dumps([sort, key, principal.public_id(info.thread_id)])
    return base64.urlsafe_b64encode(words.encode()).decode().rstrip("=")


def place_of(cursor: str, sort: ThreadSort, principal: Principal) -> ThreadPlace:
    """The place that a cursor names.

    Raises:
        InvalidParameterError: It is none that this service gave for this order.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        its_sort, key, thread_id = json.loads(text)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise _invalid() from None
    if its_sort != sort or type(key) is not int or not isinstance(thread_id, str) or abs(key) >= 2**63:
        raise _invalid()
    return ThreadPlace(key, principal.stored_id(parameters.thread_id(thread_id)))


def _invalid() -> Exception:
    return parameters.invalid("cursor", "is not one that this service gave for this order")
