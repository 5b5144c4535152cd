"""Looks at a deployment from outside or from within a service, and says what to do about what it finds."""
