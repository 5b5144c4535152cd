"""Span names, tracer set-up and a thin ASGI span wrapper, shared by every service."""
