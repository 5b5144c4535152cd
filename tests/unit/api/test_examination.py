"""The doctor's look at the service: one that fails is a finding, and is made again."""

import asyncio
from typing import Any

import pytest

from agentflow_api.health import examination
from agentflow_hosting.background import BackgroundTasks


class Wired:
    """As much of the process as a look begins with."""

    def __init__(self) -> None:
        self.background = BackgroundTasks()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_look_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said as a finding; the next one, half a minute later, is as good as ever."""
    answers: list[Any] = [RuntimeError("no"), [{"check": "one"}]]

    async def look(_: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(examination, "_look", look)
    clock, wired = Clock(), Wired()
    examined = examination.Examination(clock)
    failed = await examined.findings(wired)  # type: ignore[arg-type]  # of it nothing else is asked
    assert failed is not None
    assert [one["level"] for one in failed] == ["warning"]
    assert await examined.findings(wired) == failed  # type: ignore[arg-type]
    clock.now += 31
    assert await examined.findings(wired) == [{"check": "one"}]  # type: ignore[arg-type]
    assert answers == []
    await wired.background.aclose()


async def test_nobody_waits_for_a_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """None at first, then what was found the last time."""
    go_on = asyncio.Event()

    async def look(_: object) -> Any:
        await go_on.wait()
        return []

    monkeypatch.setattr(examination, "_look", look)
    monkeypatch.setattr(examination, "_PATIENCE_S", 0.001)
    wired = Wired()
    examined = examination.Examination()
    assert await examined.findings(wired) is None  # type: ignore[arg-type]
    go_on.set()
    monkeypatch.setattr(examination, "_PATIENCE_S", 30.0)
    assert await examined.findings(wired) == []  # type: ignore[arg-type]
    await wired.background.aclose()
