"""Tenants, scopes and API keys: who may touch which rows. Knows no web framework."""
