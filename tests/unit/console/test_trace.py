"""A run's spans as a waterfall."""

from typing import Any

from agentflow_api.console.tenant.threads.trace import waterfall_of


def span(span_id: str, parent: str | None, start_s: float, ms: float, **attributes: Any) -> dict[str, Any]:
    return {
        "span_id": span_id,
        "parent_span_id": parent,
        "name": span_id,
        "started_at": f"2026-03-01T12:00:{start_s:09.6f}+00:00",
        "duration_ms": ms,
        "status": "ok",
        "attributes": {key.replace("__", "."): value for key, value in attributes.items()},
    }


def test_each_span_is_below_the_one_it_is_part_of() -> None:
    run = {
        "spans": [
            span("run", "request", 0, 1000, gen_ai__operation__name="invoke_agent"),
            span("second", "run", 0.6, 300, agentflow__node="MAIN"),
            span("first", "run", 0.1, 400, agentflow__node="MAIN"),
            span("ask", "first", 0.2, 100, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=12),
            {**span("tool", "second", 0.7, 50), "status": "error"},
        ]
    }
    found = waterfall_of(run)
    assert found.whole_ms == 1000
    assert [(row.name, row.depth, row.kind) for row in found.rows] == [
        ("run", 0, "run"),
        ("first", 1, "node"),
        ("ask", 2, "model"),
        ("second", 1, "node"),
        ("tool", 2, "other"),
    ]
    assert [row.tokens for row in found.rows] == [None, None, (12, 0), None, None]
    assert [row.failed for row in found.rows] == [False, False, False, False, True]
    assert 'class="span-error"' in found.rows[4].bar


def test_no_spans_no_rows() -> None:
    assert waterfall_of({"spans": []}).rows == []


def test_attempts_stand_beside_each_other() -> None:
    """A run that was resumed has a span for each attempt."""
    found = waterfall_of({"spans": [span("a", None, 0, 100), span("b", None, 5, 100)]})
    assert [row.depth for row in found.rows] == [0, 0]
    assert found.whole_ms == 5100


def test_a_lost_parent_and_a_circle_end() -> None:
    found = waterfall_of({"spans": [span("a", "b", 0, 1), span("b", "a", 0, 1), span("c", "gone", 0, 1)]})
    assert [row.name for row in found.rows] == ["c"]


def test_details_are_the_rest_of_what_is_said() -> None:
    [row] = waterfall_of({"spans": [span("a", None, 0, 1, agentflow__node="MAIN", x__list=["p", "q"])]}).rows
    assert row.details == [("agentflow.node", "MAIN"), ("x.list", "p, q")]
