"""Signing in and out, and what a browser is given to stay so."""
