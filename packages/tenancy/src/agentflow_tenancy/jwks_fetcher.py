"""Fetching issuers' keys from where tenants say, without being sent anywhere else."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import httpx

from agentflow_tenancy.errors import JwksUnavailableError
from agentflow_tenancy.jwk_sets import JwkSet, JwkSetError, read_jwk_set
from agentflow_tenancy.public_addresses import AddressError, address_of

MAX_URI: Final = 2000
_MAX_BYTES: Final = 64 * 1024
_TIMEOUT_S: Final = 3.0


class JwksUriError(ValueError):
    """An address that keys are not fetched from; the text says why."""


def check_jwks_uri(uri: str, *, allow_http: bool) -> None:
    """Insist on an address that keys may be fetched from.

    Raises:
        JwksUriError: It is not https, or holds a user, a fragment or characters that no address has.
    """
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError as error:
        raise JwksUriError("it is no address") from error
    if len(uri) > MAX_URI or not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri:
        raise JwksUriError(f"it must be printable ASCII of at most {MAX_URI} characters")
    if parts.scheme != "https" and not (allow_http and parts.scheme == "http"):
        raise JwksUriError("it must begin with https://")
    if not parts.hostname or "@" in parts.netloc or parts.fragment or "%" in parts.netloc:
        raise JwksUriError("it must name a host, and neither a user nor a fragment")


class JwksFetcher:
    """Fetches key sets: at most 64 KiB in 3 s, no redirects, from public addresses alone."""

    def __init__(self, *, allow_http: bool = False) -> None:
        """With `allow_http`, http and addresses that are not public are taken as well: for development."""
        self._allow_http = allow_http

    async def fetch(self, uri: str) -> JwkSet:
        """The keys that are there now.

        Raises:
            JwksUnavailableError: There is no answer, or none that is a key set.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return read_jwk_set(await self._read(uri))
        except (JwkSetError, JwksUriError, AddressError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = str(error) or type(error).__name__
            raise JwksUnavailableError(
                f"The issuer's keys cannot be fetched from {uri}: {reason}."
            ) from error

    async def _read(self, uri: str) -> bytes:
        check_jwks_uri(uri, allow_http=self._allow_http)
        url = httpx.URL(uri)
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await address_of(url.host, port, anywhere=self._allow_http)
        request = httpx.Request(
            "GET",
            url.copy_with(host=address),
            headers={
                "Host": url.netloc.decode("ascii"),
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            # The certificate must be the name's, though the connection goes to the address that was checked.
            extensions={"sni_hostname": url.host},
        )
        async with (
            # One client a fetch: fetches are minutes apart. No proxy of the environment takes part.
            httpx.AsyncClient(
                verify=_certificates(), trust_env=False, follow_redirects=False, timeout=_TIMEOUT_S
            ) as client,
            _Streamed(client, request) as answer,
        ):
            if answer.status_code != 200 or "content-encoding" in answer.headers:
                raise JwkSetError(f"the answer was {answer.status_code}, not a plain 200")
            return await _at_most(answer, _MAX_BYTES)


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than a fetch may block the others."""
    return httpx.create_ssl_context(trust_env=False)


class _Streamed:
    """An answer whose body is read bit by bit, closed at the end."""

    def __init__(self, client: httpx.AsyncClient, request: httpx.Request) -> None:
        self._client = client
        self._request = request

    async def __aenter__(self) -> httpx.Response:
        self._answer = await self._client.send(self._request, stream=True)
        return self._answer

    async def __aexit__(self, *_: object) -> None:
        await self._answer.aclose()


async def _at_most(answer: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise JwkSetError(f"the answer is larger than {limit} bytes")
    return bytes(body)
