"""Log lines: JSON, and of errors what happened and where, without words that may quote anybody."""

import io
import json
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from agentflow_telemetry import configure_logging
from agentflow_telemetry.log_lines import JsonLines

CANARY = "canary-5e0b"


class OfOursError(Exception):
    """Its text is written for whoever runs the service."""

    is_for_logs: ClassVar[bool] = True


Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Lines written so far; logging is as it was afterwards."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    loggers = [logging.getLogger(name) for name in (None, "agentflow", "httpx", "httpx2")]
    before = [(one, one.level) for one in loggers]
    handlers = logging.getLogger().handlers[:]
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setenv("AGENTFLOW_LOG_LEVEL", "DEBUG")
    logging.getLogger().handlers.clear()
    configure_logging(request_id=lambda: "r-1", other_id=lambda: None)
    try:
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        logging.captureWarnings(capture=False)
        logging.getLogger().handlers[:] = handlers
        for one, level in before:
            one.setLevel(level)


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """The same, from a place in a file."""
    try:
        raise error from cause
    except type(error):
        return error


def test_a_line(told: Told) -> None:
    """One object: what was said, by whom, when, and for which request."""
    logging.getLogger("agentflow.x").info("Said %d\nto %s.", 3, "all")
    [line] = told()
    assert line.pop("time").endswith("+00:00")
    assert line.pop("process") > 0
    said = {"level": "INFO", "logger": "agentflow.x", "message": "Said 3\nto all."}
    assert line == {**said, "request_id": "r-1"}


def test_the_trace(told: Told) -> None:
    """Of the span that is open where the line is written."""
    span = NonRecordingSpan(SpanContext(0xAB, 0xCD, is_remote=True, trace_flags=TraceFlags(0)))
    with use_span(span):
        logging.getLogger("agentflow").warning("x")
    [line] = told()
    assert (line["trace_id"], line["span_id"]) == (f"{0xAB:032x}", f"{0xCD:016x}")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError(CANARY), "ValueError"),
        (OfOursError("Let it rest."), "Let it rest."),
        (FileNotFoundError(2, "No such file", CANARY), "FileNotFoundError: No such file"),
        (ConnectionResetError(CANARY), "ConnectionResetError"),
    ],
)
def test_words_of_errors(told: Told, error: Exception, text: str) -> None:
    """As an argument of a message, as the message, and as what was raised."""
    logger = logging.getLogger("agentflow")
    logger.warning("It failed: %s", error)
    logger.warning("It failed: %(error)s", {"error": error})
    logger.warning(error)
    logger.warning("It failed.", exc_info=raised(error, KeyError(CANARY)))
    lines = told()
    assert [line["message"] for line in lines] == [*[f"It failed: {text}"] * 2, text, "It failed."]
    assert CANARY not in json.dumps(lines)
    found = lines[-1]["error"]
    assert found["text"] == text
    assert found["type"].endswith(f".{type(error).__name__}")
    assert found["frames"][-1].split(":")[0] == __file__
    assert found["frames"][-1].endswith(" raised")
    assert found["cause"] == {"type": "builtins.KeyError", "text": "KeyError", "frames": []}


def test_errors_in_errors(told: Told) -> None:
    """Those of a group, and those that came while another was handled; a ring of them ends."""
    group = ExceptionGroup(CANARY, [ValueError(CANARY), OSError(CANARY)])
    logging.getLogger("agentflow").error("x", exc_info=raised(group))
    ring = ValueError(CANARY)
    ring.__context__ = other = KeyError(CANARY)
    other.__context__ = ring
    logging.getLogger("agentflow").error("x", exc_info=ring)
    lines = told()
    assert [one["type"] for one in lines[0]["error"]["errors"]] == ["builtins.ValueError", "builtins.OSError"]
    assert lines[1]["error"]["cause"]["type"] == "builtins.KeyError"
    assert CANARY not in json.dumps(lines)


def test_what_the_event_loop_says(told: Told) -> None:
    """It quotes what tasks ended with and callbacks were given."""
    words = f"Exception in callback f({CANARY!r})\nhandle: <Handle f({CANARY!r})>"
    logging.getLogger("asyncio").error(words, exc_info=raised(ValueError(CANARY)))
    [line] = told()
    assert line["message"] == "Exception in callback f"
    assert CANARY not in json.dumps(line)


def test_tracebacks_in_messages(told: Told) -> None:
    """Some write them there themselves: places stay."""
    error = raised(ValueError(CANARY), KeyError(CANARY))
    logging.getLogger("uvicorn.error").error("".join(traceback.format_exception(error)))
    [line] = told()
    assert f'File "{__file__}", line' in line["message"]
    assert CANARY not in line["message"]


def test_fine_lines_are_our_own(told: Told) -> None:
    """Libraries' quote requests: of theirs there are none below INFO, of HTTP clients' none below WARNING."""
    logging.getLogger("agentflow.graph").debug("ours")
    logging.getLogger("openai").debug(CANARY)
    logging.getLogger("websockets.server").debug(CANARY)
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).info(CANARY)
    logging.getLogger("pgqueuer").info("theirs")
    assert [line["message"] for line in told()] == ["ours", "theirs"]


@pytest.mark.parametrize(
    ("words", "given", "told_as"),
    [("%d of %d", (CANARY,), "%d of %d"), ("half \ud800 a pair, %s", ("x",), "half \ud800 a pair, x")],
)
def test_a_wrong_line(words: str, given: tuple[object, ...], told_as: str) -> None:
    """Is told as far as it goes, and nothing of what it was given where that does not fit."""
    record = logging.LogRecord("agentflow", logging.INFO, __file__, 1, words, given, None)
    assert json.loads(JsonLines({}).format(record))["message"] == told_as


def test_ends_that_nobody_expected(told: Told) -> None:
    """Of the process, of a thread, and warnings: lines like others."""

    def fail() -> None:
        raise RuntimeError(CANARY)

    thread = threading.Thread(target=fail, name="digger")
    thread.start()
    thread.join()
    error = raised(RuntimeError(CANARY))
    sys.excepthook(RuntimeError, error, error.__traceback__)
    with warnings.catch_warnings(action="always"):
        warnings.warn("an old way", FutureWarning, stacklevel=1)
    lines = told()
    messages = [line["message"] for line in lines]
    assert messages[:2] == ["The thread digger ends.", "The process ends."]
    assert "an old way" in messages[2]
    assert [line["error"]["type"] for line in lines[:2]] == ["builtins.RuntimeError"] * 2
    assert CANARY not in json.dumps(lines)


@pytest.mark.parametrize(
    ("given", "meant"), [("debug", logging.DEBUG), ("loud", logging.INFO), ("", logging.INFO), ("error", 40)]
)
@pytest.mark.usefixtures("told")
def test_levels(monkeypatch: pytest.MonkeyPatch, given: str, meant: int) -> None:
    """By the environment; a level that there is not is INFO."""
    logging.getLogger().handlers.clear()
    monkeypatch.setenv("AGENTFLOW_LOG_LEVEL", given)
    configure_logging()
    assert logging.getLogger("agentflow.api").getEffectiveLevel() == meant
    assert logging.getLogger().level == max(meant, logging.INFO)
