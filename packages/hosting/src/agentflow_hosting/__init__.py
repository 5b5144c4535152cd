"""Hosting agents: which there are, runs as records, and carrying them out."""
