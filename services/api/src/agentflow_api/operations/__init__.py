"""Moves of tenants, and the partitions they live in."""
