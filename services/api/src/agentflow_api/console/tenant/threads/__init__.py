"""Threads: found, read at any point, gone on with from any point."""
