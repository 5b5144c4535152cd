"""Bridges to other programs and protocols; each needs its own extra."""
