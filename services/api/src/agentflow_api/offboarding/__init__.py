"""Tenants that leave, users who are forgotten, and the receipts."""
