"""Hosted agents: the registry, and the demo agents that need no model."""
