"""Where requests go, and in whose name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, urlsplit

from agentflow.errors import ConfigurationError, InvalidIdError

# What a path segment may hold as it is, after RFC 3986.
_PLAIN: Final = ":@!$&'()*+,;="


def segment(value: str) -> str:
    """An id as part of a path.

    Raises:
        InvalidIdError: The path would be that of something else.
    """
    if not value.strip() or value in (".", "..") or set(value) & set("/?#"):
        raise InvalidIdError(f"{value!r} is no id: it is blank, a path step, or holds one of / ? #.")
    try:
        return quote(value, safe=_PLAIN)
    except UnicodeEncodeError:
        raise InvalidIdError("An id must be encodable as UTF-8.") from None


@dataclass(frozen=True, slots=True)
class Target:
    """A service, a credential, and perhaps an agent.

    Raises:
        ConfigurationError: One of them cannot be what it is meant to be; the key is not quoted.
    """

    base_url: str
    api_key: str | None = field(repr=False)
    agent: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigurationError("base_url is an address such as https://agents.example.com.")
        if parts.username or parts.password:
            raise ConfigurationError("base_url holds a password: pass api_key instead.")
        # Checked here, since the HTTP library's own complaint would quote the key.
        key = self.api_key
        if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
            raise ConfigurationError("api_key holds characters that no key has, or none.")
        if self.agent is not None:
            segment(self.agent)

    def url(self, path: str, *, of_agent: bool = True) -> str:
        """The address of a route."""
        prefix = f"/a/{segment(self.agent)}" if self.agent is not None and of_agent else ""
        return f"{self.base_url.rstrip('/')}{prefix}{path}"

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        key = self.api_key
        return {"accept": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})

    def hidden(self, content: bytes) -> bytes:
        """Something that came back, without the key, which a proxy's error page may echo."""
        return content.replace(self.api_key.encode(), b"***") if self.api_key else content

    def for_agent(self, agent: str | None) -> Target:
        """The same, with another agent; None for the tenant's default one."""
        return replace(self, agent=agent)
