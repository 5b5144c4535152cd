"""What the peers' harness measured, as a report: ratios are paired by round."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.benchmarks.report import Report

Line = dict[str, Any]
By = dict[str, list[Line]]


def peer_report(path: Path) -> Report:
    """Read the harness's lines; a measurement that was not asked for is not there."""
    kinds: dict[str, list[Line]] = defaultdict(list)
    for line in map(json.loads, path.read_text().splitlines()):
        kinds[line["m"]].append(line)
    report = Report()
    _rates(report, "write", kinds["write"], reference="raw_delta")
    for mode, reference in (("cold", "raw_full"), ("warm", "raw_redis")):
        lines = [line for line in kinds["read"] if line["mode"] == mode]
        _rates(report, f"{mode} read", lines, reference=reference)
    _growth(report, kinds["growth"])
    _sizes(report, kinds["size"])
    _rates(report, "e2e", kinds["e2e"], reference="lg_pg_sync")
    _goals(report, kinds["e2e"])
    return report


def _rates(report: Report, what: str, lines: list[Line], *, reference: str) -> None:
    for conc, here in _grouped(lines, "conc"):
        systems = _by_system(here)
        for name, of in systems.items():
            key, label = f"peers.{what}.{conc}.{name}", f"{what}, {conc} at once, {name}"
            report.add(key, label, "1/s", _values(of, "per_s"))
            report.add(f"{key}.p50", "  p50", "ms", _values(of, "p50"))
            if reference in systems and name != reference:
                base = systems[reference]
                for column, word in (("per_s", "rate"), ("p50", "p50")):
                    label = f"  {word} / {reference}"
                    report.add_ratio(
                        f"{key}.{column}/{reference}", label, _values(of, column), _values(base, column)
                    )


def _growth(report: Report, lines: list[Line]) -> None:
    for name, of in _by_system(lines).items():
        turns = dict(_grouped(of, "turn"))
        if not {10, 200} <= set(turns):
            continue
        for column, word in (("p50", "latency"), ("wal_mean", "WAL")):
            label = f"turn 200 to turn 10, {word}, {name}"
            early, late = _values(turns[10], column), _values(turns[200], column)
            report.add_ratio(f"peers.growth.{word}.{name}", label, late, early)


def _sizes(report: Report, lines: list[Line]) -> None:
    columns = {"disk_per_thread": "disk of a 10-turn thread", "redis_per_thread": "Redis of a 10-turn thread"}
    for line in lines:
        for column, words in columns.items():
            if column in line:
                key = f"peers.{column}.{line['sys']}"
                report.add(key, f"{words}, {line['sys']}", "KiB", [line[column] / 1024])
        report.add(
            f"peers.wal.{line['sys']}", f"WAL of a checkpoint, {line['sys']}", "B", [line["wal_per_ckpt"]]
        )


def _goals(report: Report, lines: list[Line]) -> None:
    for conc, here in _grouped(lines, "conc"):
        systems = _by_system(here)
        if {"agentflow", "lg_pg_sync"} <= set(systems):
            mine, theirs = (_values(systems[name], "per_s") for name in ("agentflow", "lg_pg_sync"))
            report.add_ratio(
                f"turns.{conc}/langgraph", f"turns/s, {conc} at once, to langgraph", mine, theirs
            )


def _grouped(lines: list[Line], column: str) -> list[tuple[int, list[Line]]]:
    groups: dict[int, list[Line]] = defaultdict(list)
    for line in lines:
        groups[line[column]].append(line)
    return sorted(groups.items())


def _by_system(lines: list[Line]) -> By:
    systems: By = defaultdict(list)
    for line in lines:
        systems[line["sys"]].append(line)
    return systems


def _values(lines: list[Line], column: str) -> list[float]:
    return [line[column] for line in sorted(lines, key=lambda line: line["round"])]
