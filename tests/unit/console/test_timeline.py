"""A thread's checkpoints as steps."""

from typing import Any

from agentflow_api.console.tenant.threads.timeline import steps_of


def checkpoint(
    seq: int, parent: int, run_id: str, source: str = "node", node: str = "MAIN"
) -> dict[str, Any]:
    at = f"2026-03-01T12:00:{seq:02}+00:00"
    return {
        "seq": seq,
        "parent": parent,
        "run_id": run_id,
        "source": source,
        "node": node,
        "created_at": at,
        "step": seq,
    }


def test_steps_in_words() -> None:
    steps = steps_of(
        [
            checkpoint(4, 1, "c", source="fork", node=""),
            checkpoint(3, 2, "b", source="update", node=""),
            checkpoint(2, 1, "a"),
            checkpoint(1, 0, "a", source="input", node=""),
        ]
    )
    assert [one.title for one in steps] == ["Forked", "Changed by hand", "MAIN", "Input"]
    assert [one.begins_run for one in steps] == [False, False, False, True]
    assert [one.leaves_line for one in steps] == [True, False, False, False]


def test_nothing_happened_yet() -> None:
    assert steps_of([]) == []


def test_the_first_of_a_new_thread_may_have_no_parent() -> None:
    [step] = steps_of([{**checkpoint(1, 0, ""), "parent": None, "run_id": None}])
    assert (step.parent, step.run_id) == (0, "")
