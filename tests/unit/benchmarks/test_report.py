"""Figures, goals and documents of the benchmark."""

import json
from pathlib import Path

from tests.benchmarks.document_tables import TABLES
from tests.benchmarks.documents import FIGURES, MARKED, PAGE, PICTURE, written
from tests.benchmarks.driving import threads_for
from tests.benchmarks.goals import BY_KEY, GOALS
from tests.benchmarks.peer_report import peer_report
from tests.benchmarks.picture import draw
from tests.benchmarks.report import Report
from tests.benchmarks.table import table
from tests.benchmarks.workload import ANSWER_CHARACTERS, QUESTION_CHARACTERS, STEPS_PER_TURN, TURNS, Chat


def test_ratios_are_paired_by_round() -> None:
    """A slow round that hits both systems leaves their ratio as it is."""
    report = Report()
    report.add_ratio("a/b", "a to b", [10, 1, 10], [5, 0.5, 5])
    figure = report.figures["a/b"]
    assert (figure.low, figure.median, figure.high) == (2, 2, 2)


def test_goals_know_their_direction() -> None:
    """More is better for rates, less for latencies; at the limit both are met."""
    rate, latency = BY_KEY["write.64/raw_delta"], BY_KEY["write.p50/raw_delta"]
    assert [rate.met(value) for value in (1.9, 2.0, 2.1)] == [False, True, True]
    assert [latency.met(value) for value in (1.2, 1.3, 1.4)] == [True, True, False]
    assert rate.reached(4) == 2
    assert latency.reached(0.65) == 2
    assert latency.reached(0) == 100


def test_the_table_has_every_goal() -> None:
    """Also those that were not measured."""
    report = Report()
    report.add("disk.thread", "disk", "KiB", [17, 20, 17.5])
    lines = table(report).splitlines()
    assert all(any(line.startswith(goal.label) for line in lines) for goal in GOALS)
    disk = next(line for line in lines if line.startswith(BY_KEY["disk.thread"].label))
    assert disk.split()[-4:] == ["17.5", "17", "20", "met"]


def test_a_report_is_read_as_it_was_saved(tmp_path: Path) -> None:
    """JSON keeps all of it; a file that is not there is an empty report."""
    report = Report(about={"cpus": 2})
    report.add("x", "an x", "ms", [1.5, 2.5, 0.5])
    report.save(tmp_path / "new" / "figures.json")
    assert Report.read(tmp_path / "new" / "figures.json") == report
    assert Report.read(tmp_path / "none.json") == Report()


def test_the_documents_say_what_was_measured() -> None:
    """docs/sizing and its picture are what `make bench-docs` makes of figures.json."""
    report = Report.read(FIGURES)
    page = PAGE.read_text()
    assert {part[2] for part in MARKED.finditer(page)} == TABLES.keys()
    assert written(page, report) == page
    assert draw(report) == PICTURE.read_text()


def test_the_workload_is_the_same_each_time() -> None:
    """Fixed seeds: 30 checkpoints, 20 messages of the sizes promised, about 300 bytes of other fields."""
    steps = Chat(7).steps
    assert len(steps) == TURNS * STEPS_PER_TURN
    sizes = [len(step.message["content"]) for step in steps if step.message]
    assert sizes == [QUESTION_CHARACTERS, ANSWER_CHARACTERS] * TURNS
    assert all(250 < len(json.dumps(step.extra)) < 350 for step in steps)
    assert Chat(7).steps == steps != Chat(8).steps


def test_runs_fill_their_time() -> None:
    """As many threads for each writer, and never none."""
    assert threads_for(3000, 2.0, 16) == 192
    assert threads_for(10, 0.1, 64) == 64


def test_peers_lines_become_figures(tmp_path: Path) -> None:
    """Ratios of the harness's lines, paired by round."""
    lines = [
        {"m": "e2e", "sys": name, "conc": 16, "round": round_, "per_s": rate * (1 + round_), "p50": 1.0}
        for round_ in (0, 1)
        for name, rate in (("lg_pg_sync", 10), ("agentflow", 130))
    ]
    file = tmp_path / "peers.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = peer_report(file)
    assert report.figures["turns.16/langgraph"].median == 13
    assert "turns.1/langgraph" not in report.figures
