"""Where this service may be sent by what a tenant writes down: the public internet and nowhere else."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public by their own numbers, but they carry an IPv4 address that may be private.
_CARRIERS: Final = tuple(
    ipaddress.ip_network(network)
    for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)


class AddressError(ValueError):
    """A name leads nowhere, or to where this service does not go."""


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may be at an address: nothing local, reserved or translated."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _CARRIERS) or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def address_of(host: str, port: int, *, anywhere: bool = False) -> str:
    """The address to connect to for a name: connect to it, as the name may lead elsewhere the next time.

    Args:
        host: A name or an address.
        port: Where at.
        anywhere: Take addresses that are not public, too.

    Raises:
        AddressError: The name has no address, or one that is not public.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"{host} has no address") from error
    addresses = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
    if not addresses:
        raise AddressError(f"{host} has no address")
    # All of them: one that is not public is no accident.
    if not anywhere and not all(is_public(address) for address in addresses):
        raise AddressError(f"{host} is not on the public internet")
    return str(addresses[0])
