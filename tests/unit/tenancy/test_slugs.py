"""Slugs, and the thread ids made with them."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentflow_tenancy import InvalidSlugError, check_slug, public_thread_id, stored_thread_id

SLUGS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize("slug", ["a", "0", "a-1", "a--b", "x" * 40, "tenant-acme"])
def test_slugs(slug: str) -> None:
    """Lower-case letters, digits and inner hyphens, 1 to 40 of them."""
    assert check_slug(slug) == slug


@pytest.mark.parametrize(
    "slug",
    [
     "", "a%", "a_b", "a\\b", "a:b", "Acme", "\u0430cme", "acme\u200b", "\uff41", "-a", "a-", "x" * 41,
     "a b", "a\n",
     "a\0", "\u0661", "acm\u00e9", "a/b", "a.b",
     "0b0c6a52-7f0e-4a0e-9a55-5a7e6d9d1f00", "0b0c6a527f0e4a0e9a555a7e6d9d1f00",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_slug(slug: str) -> None:
    """Wildcards, separators, upper case, homoglyphs, zero-width characters, what reads like a tenant's id."""
    with pytest.raises(InvalidSlugError):
        check_slug(slug)


@given(SLUGS, st.text(min_size=1))
def test_ids_come_back(slug: str, public_id: str) -> None:
    """The tenant reads the id it gave, byte for byte, also one that looks like a stored id."""
    assert public_thread_id(slug, stored_thread_id(slug, public_id)) == public_id


@given(SLUGS, st.text(), SLUGS, st.text())
def test_ids_of_two_tenants_never_meet(one: str, first: str, other: str, second: str) -> None:
    """Whatever the tenants call their threads."""
    assume(one != other)
    assert stored_thread_id(one, first) != stored_thread_id(other, second)


def test_an_operators_prefix_means_one_tenant() -> None:
    """`LIKE 'tenant-a-1:%'` finds nothing of `a-10`, nor of a tenant that names threads like it."""
    prefix = stored_thread_id("a-1", "")
    assert not stored_thread_id("a-10", "x").startswith(prefix)
    assert not stored_thread_id("a", "1:x").startswith(prefix)
    assert not stored_thread_id("b", stored_thread_id("a-1", "x")).startswith(prefix)
