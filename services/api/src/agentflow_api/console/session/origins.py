"""Whether a request comes from a page of this service's own."""

from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection


def is_own_page(connection: ASGIConnection[Any, Any, Any, Any], *, secure: bool) -> bool:
    """By what browsers say of it and pages cannot change; who is no browser says nothing.

    `Sec-Fetch-Site` names where the request comes from; an `Origin` is compared with the host that is asked,
    and its scheme where that is known to be https: else a proxy may have ended https on the way.
    """
    headers = connection.headers
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    parts = urlsplit(origin)
    is_same = parts.netloc.lower() == headers.get("host", "").lower()
    return is_same and (parts.scheme == "https" or not secure)
