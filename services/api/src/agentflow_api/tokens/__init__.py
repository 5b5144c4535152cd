"""Tokens: minted from a key, checked by anybody, or made by issuers that a tenant trusts."""
