"""Which addresses a tenant may send this service to."""

import ipaddress

import pytest

from agentflow_tenancy.public_addresses import AddressError, address_of, is_public

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"]
OTHER = [
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.1.2.3", "169.254.169.254", "0.0.0.0",
    "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::", "fec0::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    """Where anybody may be."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OTHER)
def test_not_public(address: str) -> None:
    """Private, local, reserved, or carrying an address that is."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "::1", "2130706433", "0x7f.1", "no-such-name.invalid", ""]
)
async def test_names_of_this_machine(host: str) -> None:
    """However they are written; and names of nothing."""
    with pytest.raises(AddressError):
        await address_of(host, 443)


async def test_anywhere() -> None:
    """When that is allowed."""
    assert await address_of("127.0.0.1", 443, anywhere=True) == "127.0.0.1"
