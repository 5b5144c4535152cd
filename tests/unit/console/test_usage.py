"""Usage as charts and beside quotas."""

from datetime import UTC, datetime
from typing import Any

from agentflow_api.console.charts.usage import charts_of, first_of_month, limits_of, quotas_of

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def usage(**limits: int) -> dict[str, Any]:
    def day(number: int, runs: int, stored: int) -> dict[str, Any]:
        counts = {"checkpoints": 3 * runs, "tokens_in": 10, "tokens_out": 5, "threads": 1}
        return {"start": f"2026-03-0{number}T00:00:00+00:00", "runs": runs, "stored_bytes": stored, **counts}

    return {
        "from": "2026-03-01T00:00:00+00:00",
        "to": "2026-03-04T13:00:00+00:00",
        "buckets": [day(2, 4, 100), day(4, 2, -50)],
        "kept": {"threads": 7, "stored_bytes": 1050},
        "limits": limits,
    }


def test_the_month_begins_in_utc() -> None:
    assert first_of_month(datetime(2026, 3, 31, 23, 30, tzinfo=UTC)) == datetime(2026, 3, 1, tzinfo=UTC)


def test_what_is_used_stands_beside_what_is_allowed() -> None:
    rows = quotas_of(usage(threads=10, stored_bytes=2048, tokens_per_day=15, checkpoints_per_day=100), NOW)
    told = {row.name: row.bar.striptags() for row in rows}
    assert told["Threads"].endswith("7 of 10")
    assert told["Storage"].endswith("1 KiB of 2 KiB")
    assert told["Tokens"].endswith("15 of 15, at the limit")
    assert told["Checkpoints"].endswith("6 of 100")


def test_no_limit_and_nothing_today() -> None:
    rows = quotas_of({**usage(), "buckets": []}, NOW)
    assert [row.bar.striptags() for row in rows][2:] == ["0, no limit", "0, no limit"]


def test_other_limits_in_words() -> None:
    rows = limits_of(usage(message_bytes=262_144, burst=60))
    assert [(row.name, row.text) for row in rows] == [
        ("Requests at once", "60"),
        ("Size of a message", "256 KiB"),
    ]


def test_days_without_usage_are_zeros() -> None:
    runs, tokens, _, stored = charts_of(usage(), "day")
    assert "1 Mar 2026\nruns: 0" in runs
    assert "2 Mar 2026\nruns: 4" in runs
    assert "2 Mar 2026\nin: 10\nout: 5" in tokens
    # 1050 is kept now; 50 bytes went on the fourth, 100 came on the second.
    assert "1 Mar 2026\nstored: 1,000 bytes" in stored
    assert "3 Mar 2026\nstored: 1,100 bytes" in stored
    assert "4 Mar 2026\nstored: 1,050 bytes" in stored


def test_hours() -> None:
    day = {**usage(), "from": "2026-03-04T10:00:00+00:00", "buckets": []}
    assert charts_of(day, "hour")[0].count("<title>") == 3
