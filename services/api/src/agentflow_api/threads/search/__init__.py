"""Threads by what they are: searched, deleted, and their attributes changed."""
