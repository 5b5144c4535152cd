"""Which keys of a published set may check signatures."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from agentflow_tenancy.jwk_sets import JwkSetError, jwk_set, read_jwk_set
from tests.support.jwks_server import KEYS, known_keys, public_jwk

RSA = public_jwk("RS256", KEYS["RS256"], "r")


@pytest.mark.parametrize("algorithm", [*KEYS])
def test_a_key_is_found_by_its_id_and_algorithm(algorithm: str) -> None:
    """Never for another algorithm than its own kind's."""
    keys = jwk_set(known_keys())
    kid = "RS256" if algorithm == "PS256" else algorithm
    assert keys.find(kid, algorithm) is not None
    assert keys.find(kid, "HS256") is None
    assert keys.find("ES256" if kid != "ES256" else "EdDSA", algorithm) is None
    assert keys.find(None, algorithm) is not None, "the only one of its algorithm"


def test_a_key_without_a_name_is_ambiguous() -> None:
    """When two fit."""
    other = public_jwk("RS256", rsa.generate_private_key(65537, 2048), "other")
    assert jwk_set({"keys": [RSA, other]}).find(None, "RS256") is None


def test_a_keys_own_algorithm_holds() -> None:
    """It checks no other one."""
    keys = jwk_set({"keys": [{**RSA, "alg": "PS256"}]})
    assert keys.find("r", "PS256") is not None
    assert keys.find("r", "RS256") is None


UNUSABLE: list[dict[str, Any]] = [
    {**RSA, "use": "enc"}, {**RSA, "alg": "HS256"}, {**RSA, "alg": "RSA-OAEP"}, {**RSA, "kty": "oct"},
    {**RSA, "kty": ["RSA"]}, {**RSA, "n": 7}, {**RSA, "n": "!"}, {**RSA, "kid": {}}, {},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    public_jwk("RS256", rsa.generate_private_key(65537, 1024), "small"),
    public_jwk("ES384", ec.generate_private_key(ec.SECP384R1()), "curve"),
]  # fmt: skip


@pytest.mark.parametrize("jwk", UNUSABLE)
def test_keys_that_cannot_be_used_are_left_out(jwk: dict[str, Any]) -> None:
    """A set of such keys alone is none."""
    with pytest.raises(JwkSetError):
        jwk_set({"keys": [jwk]})
    assert jwk_set({"keys": [jwk, {**RSA, "kid": "good"}, "x", None]}).find("good", "RS256") is not None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"keys": 1}', "[" * 100_000, '{"keys": [1e999]}', "\udcff"], ids=repr
)
def test_what_is_no_set(text: str) -> None:
    """One error, whatever is wrong."""
    with pytest.raises(JwkSetError):
        read_jwk_set(text.encode(errors="surrogateescape"))


@pytest.mark.parametrize("part", ["d", "p", "k"])
def test_private_keys_are_refused_aloud(part: str) -> None:
    """Their owner should know that they were published."""
    with pytest.raises(JwkSetError, match="private"):
        jwk_set({"keys": [RSA, {**RSA, part: "AQAB"}]})
