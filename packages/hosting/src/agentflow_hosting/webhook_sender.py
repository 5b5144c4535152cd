"""One POST to an address that a tenant wrote down, without being sent anywhere else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import httpx

from agentflow_tenancy.jwks_fetcher import JwksUriError, check_jwks_uri
from agentflow_tenancy.public_addresses import AddressError, address_of

_TIMEOUT_S: Final = 10.0


class WebhookUrlError(ValueError):
    """An address that is not told anything; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a POST.

    Attributes:
        status: The HTTP status, if there was an answer.
        error: Why it does not count as told; None when it does. Names no address.
    """

    status: int | None
    error: str | None


def check_webhook_url(url: str, *, allow_private: bool) -> None:
    """Insist on an address that may be told of runs: the rules are those of issuers' keys.

    Raises:
        WebhookUrlError: It is not https, or holds a user, a fragment or characters that no address has.
    """
    try:
        check_jwks_uri(url, allow_http=allow_private)
    except JwksUriError as error:
        raise WebhookUrlError(str(error)) from error


class WebhookSender:
    """Sends: 10 s at most, no redirects, to public addresses alone. What is answered is not read."""

    def __init__(self, *, allow_private: bool = False) -> None:
        """With `allow_private`, http and addresses that are not public are taken as well."""
        self._allow_private = allow_private

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send once. Does not raise."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                status = await self._status(url, body, headers)
        except (WebhookUrlError, AddressError):
            return Answer(None, "the address is not one on the public internet")
        except TimeoutError:
            return Answer(None, f"no answer within {_TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(None, f"no answer ({type(error).__name__})")
        return Answer(status, None if 200 <= status < 300 else f"answered {status}")

    async def _status(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        check_webhook_url(url, allow_private=self._allow_private)
        parsed = httpx.URL(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        # Connected to is the address that was checked: the name may lead elsewhere the next time.
        address = await address_of(parsed.host, port, anywhere=self._allow_private)
        request = httpx.Request(
            "POST",
            parsed.copy_with(host=address),
            content=body,
            headers={"Host": parsed.netloc.decode("ascii"), **headers},
            extensions={"sni_hostname": parsed.host},
        )
        async with httpx.AsyncClient(
            verify=_certificates(), trust_env=False, follow_redirects=False, timeout=_TIMEOUT_S
        ) as client:
            answer = await client.send(request, stream=True)
            await answer.aclose()
            return answer.status_code


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than others may be kept waiting."""
    return httpx.create_ssl_context(trust_env=False)
