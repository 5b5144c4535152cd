"""Tenants, as the operator sees them."""
