"""Threads, their state and their messages."""
