"""What people read of values."""

from typing import Any

import pytest
from markupsafe import Markup

from agentflow_api.console.rendering import render, words

DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a <b> & 'c'", "a <b> & 'c'"),
        (["threads:read", "usage:read"], "threads:read, usage:read"),
        (None, DASH),
        ([], DASH),
        ("", ""),
        (3, "3"),
        (True, "true"),
        ({"day": {"runs": None}, "é": 1.5}, '{"day": {"runs": null}, "é": 1.5}'),
    ],
)
def test_a_value_in_words(value: Any, text: str) -> None:
    """As it was written; only what is within something else looks as in JSON. It stays text."""
    assert words(value) == text
    assert not isinstance(words(value), Markup)


def test_details_of_an_entry_are_readable_and_escaped() -> None:
    """Once, as all text is, in names and values."""
    details = {"name": "<img>", "more_of": {"<b>": ["<i>"]}}
    entry = {"at": None, "actor": "a", "action": "b", "target": "c", "address": None, "details": details}
    page = render("operator/entries.html", entries=[entry, {**entry, "details": {}}])
    assert "name:</span> &lt;img&gt;<" in page
    assert "more of:</span> {&#34;&lt;b&gt;&#34;: [&#34;&lt;i&gt;&#34;]}<" in page
    assert "u003c" not in page
    assert "<img>" not in page
