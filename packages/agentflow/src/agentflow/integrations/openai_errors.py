"""Errors of the openai client, fit to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import OpenAIError


def without_key[E: OpenAIError](error: E, key: str) -> E:
    """The same error with the key taken out of its text: some endpoints quote it when they refuse it."""
    from openai import APIError

    if key and key in str(error):
        error.args = tuple(arg.replace(key, "***") if isinstance(arg, str) else arg for arg in error.args)
    if isinstance(error, APIError) and key and (key in error.message or key in str(error.body)):
        error.message = error.message.replace(key, "***")
        error.body = None
    return error
