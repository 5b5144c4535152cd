"""Errors by class, when something is sent again, and what never shows."""

import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from agentflow import client as package
from agentflow.client import (
    AgentFlowClient,
    ApiError,
    AsyncAgentFlowClient,
    ClientClosedError,
    ClientError,
    ConnectionFailedError,
    RateLimitedError,
    RetryPolicy,
    UnavailableError,
    ValidationError,
)
from agentflow.client.retry_after import retry_after_s
from agentflow.errors import AgentFlowError, ConfigurationError
from tests.support.client_faces import FACES, Face, opened
from tests.support.scripted_api import Reply, ScriptedApi, events, ok, refusal

KINDS = [
    (400, "BAD_REQUEST", "BadRequestError"),
    (401, "UNAUTHENTICATED", "AuthenticationError"),
    (403, "FORBIDDEN", "ForbiddenError"),
    (404, "THREAD_NOT_FOUND", "NotFoundError"),
    (409, "STALE_CHECKPOINT", "ConflictError"),
    (410, "RUN_CHUNKS_GONE", "GoneError"),
    (413, "BODY_TOO_LARGE", "TooLargeError"),
    (422, "VALIDATION_ERROR", "ValidationError"),
    (429, "QUOTA_EXCEEDED", "RateLimitedError"),
    (500, "INTERNAL_ERROR", "ServerError"),
    (500, "NODE_EXECUTION", "RunFailedError"),
    (500, "GRAPH_RECURSION_LIMIT", "RunFailedError"),
    (503, "TRANSIENT_STORAGE_UNAVAILABLE", "UnavailableError"),
    (418, "TEAPOT", "ApiError"),
]
SECRET = "secret-key"
WITHOUT_A_KEY: tuple[Callable[[Any], Any], ...] = (
    lambda c: c.threads.delete("t"),
    lambda c: c.threads.update_state("t", {}),
    lambda c: c.threads.delete_message("t", "m"),
)


@pytest.mark.parametrize(("status", "code", "kind"), KINDS)
def test_errors_by_class(api: ScriptedApi, face: Face, status: int, code: str, kind: str) -> None:
    """Code, status and request id are attributes, and in the message; all are the library's errors."""
    api.script += [refusal(status, code)] * 5
    with pytest.raises(ApiError) as caught:
        face(lambda c: c.threads.get("t"))
    error = caught.value
    assert type(error) is getattr(package, kind)
    assert (error.code, error.status, error.request_id) == (code, status, "r2")
    assert str(error) == f"What {code} means. ({status} {code}, request r2)"
    assert isinstance(error, AgentFlowError)


def test_details(api: ScriptedApi, face: Face) -> None:
    """Where the request is wrong."""
    detail = {"loc": ["body", "messages"], "msg": "empty", "type": "value_error"}
    api.script += [refusal(422, "VALIDATION_ERROR", [detail])]
    with pytest.raises(ValidationError) as caught:
        face(lambda c: c.invoke())
    assert caught.value.details == (detail,)


@pytest.mark.parametrize(
    "body", ["<html>no</html>", "", '{"error": 1}', '{"error": {"details": 1}}', "[" * 100000]
)
def test_errors_of_something_before_the_service(api: ScriptedApi, face: Face, body: str) -> None:
    """By status, with the id that the header names."""
    api.script += [Reply(502, body, {"x-request-id": "h1"})] * 5
    with pytest.raises(UnavailableError) as caught:
        face(lambda c: c.threads.get("t"))
    assert (caught.value.code, caught.value.request_id, caught.value.details) == ("HTTP_502", "h1", ())


def test_redirects_are_not_followed(api: ScriptedApi, face: Face) -> None:
    """The key is for one address."""
    api.script += [Reply(307, "", {"location": f"{api.base_url}/elsewhere"})]
    with pytest.raises(ApiError, match="base_url"):
        face(lambda c: c.threads.get("t"))
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    "reply", [Reply(cut=True), *(refusal(status, "X") for status in (429, 502, 503, 504))]
)
def test_what_is_sent_again(api: ScriptedApi, face: Face, reply: Reply) -> None:
    """A GET, and a POST with its key, as often as the policy says; the same request each time."""
    api.script += [reply, reply, ok("pong")]
    assert face(lambda c: c.ping()) == "pong"
    assert len(api.asked) == 3
    api.script[:] = [reply] * 20
    with pytest.raises(ClientError):
        face(lambda c: c.graph.stop("t"))
    tries = api.asked[3:]
    assert len(tries) == 5
    assert len({asked.key for asked in tries}) == 1
    assert len({asked.body for asked in tries}) == 1


@pytest.mark.parametrize("reply", [Reply(cut=True), refusal(503, "X")])
def test_what_a_lost_answer_may_have_done_is_not_sent_again(
    api: ScriptedApi, face: Face, reply: Reply
) -> None:
    """DELETE and PUT, which carry no key."""
    api.script += [reply] * 9
    for ask in WITHOUT_A_KEY:
        before = len(api.asked)
        with pytest.raises(ClientError):
            face(ask)
        assert len(api.asked) == before + 1


def test_what_a_quota_refused_is_sent_again(api: ScriptedApi, face: Face) -> None:
    """Whatever it is: nothing was done. Only what could be read but once is gone."""
    refused = refusal(429, "QUOTA_EXCEEDED", retry_after="0")
    for ask in WITHOUT_A_KEY:
        before = len(api.asked)
        api.script += [refused, refused, ok({"success": True, "state": None})]
        face(ask)
        tries = api.asked[before:]
        assert len(tries) == 3
        assert len({(asked.method, asked.path, asked.body) for asked in tries}) == 1
    api.script += [refused]
    with pytest.raises(RateLimitedError):
        face(lambda c: c.threads.import_messages("t", iter([{"role": "user", "content": []}])))


def test_a_search_is_a_read(api: ScriptedApi, face: Face) -> None:
    """Though it is a POST; and so is a deletion that only tells."""
    page = ok({"threads": [], "next_cursor": None})
    api.script += [Reply(cut=True), refusal(503, "X"), page]
    assert face.all(lambda c: c.threads.search(text="x")) == []
    told = ok({"dry_run": True, "count": 0, "deleted": 0, "thread_ids": [], "more": False})
    api.script += [refusal(503, "X"), Reply(cut=True), told]
    assert face(lambda c: c.threads.delete_many(dry_run=True, text="x")).count == 0
    assert [asked.key for asked in api.asked] == [None] * 6


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 500])
def test_errors_that_another_try_does_not_change(api: ScriptedApi, face: Face, status: int) -> None:
    """Said at once."""
    api.script += [refusal(status, "X")]
    with pytest.raises(ApiError):
        face(lambda c: c.invoke("hi"))
    assert len(api.asked) == 1


def test_a_cut_answer_is_asked_for_again(api: ScriptedApi, face: Face) -> None:
    """An answer that breaks off is none."""
    api.script += [Reply(pieces=['{"data": "po'], cut=True), ok("pong")]
    assert face(lambda c: c.ping()) == "pong"


def test_the_first_sending_is_still_at_work(api: ScriptedApi, face: Face) -> None:
    """Then its answer is waited for: a conflict with oneself is none."""
    api.script += [
        Reply(cut=True),
        refusal(409, "IDEMPOTENCY_IN_PROGRESS", retry_after="0"),
        ok({"success": True}),
    ]
    assert face(lambda c: c.graph.stop("t")).success


def test_a_wait_that_is_too_long_is_not_begun(api: ScriptedApi, face: Face) -> None:
    """The service says when to come again; beyond the policy's time that is for the caller to do."""
    api.script += [refusal(429, "QUOTA_EXCEEDED", retry_after="3600")]
    with pytest.raises(RateLimitedError) as caught:
        face(lambda c: c.threads.get("t"))
    assert caught.value.retry_after_s == 3600
    assert len(api.asked) == 1


@pytest.mark.parametrize("kind", FACES)
def test_no_retries(kind: str, api: ScriptedApi) -> None:
    """For who does that elsewhere."""
    api.script += [Reply(cut=True)]
    none = RetryPolicy(max_retries=0)
    with opened(kind, api.base_url, retries=none) as face, pytest.raises(ConnectionFailedError):
        face(lambda c: c.ping())
    assert len(api.asked) == 1


def test_the_policy() -> None:
    """Waits double up to the longest, each a random part of that; what the service asks for comes on top."""
    policy = RetryPolicy(max_retries=5, total_s=60, first_wait_s=1, longest_wait_s=4)
    assert [policy.wait_s(n, chance=lambda: 1.0) for n in range(1, 7)] == [1, 2, 4, 4, 4, None]
    assert policy.wait_s(3, chance=lambda: 0.0) == 0
    assert policy.wait_s(1, chance=lambda: 0.5, at_least_s=10) == 10.5
    assert policy.wait_s(1, chance=lambda: 1.0, spent_s=59.5) is None
    assert policy.wait_s(1, chance=lambda: 0.0, at_least_s=61) is None
    assert RetryPolicy(max_retries=10**6).wait_s(10**6, chance=lambda: 1.0) == 8.0


def test_retry_after() -> None:
    """Seconds or a date; anything else says nothing."""
    assert retry_after_s("7") == 7
    assert retry_after_s("0.5") == 0.5
    later = datetime.now(UTC) + timedelta(hours=1)
    assert retry_after_s(format_datetime(later, usegmt=True)) == pytest.approx(3600, abs=60)
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for text in (None, "", "soon", "-1", "nan", "inf", "1e999"):
        assert retry_after_s(text) is None


@pytest.mark.parametrize("kind", FACES)
def test_the_key_shows_nowhere(kind: str, api: ScriptedApi, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a repr, an error, its causes or a log line; also when the answer echoes it."""
    caplog.set_level(logging.DEBUG)
    echo = f'{{"error": {{"code": "{SECRET}", "message": "{SECRET}", "details": [{{"msg": "{SECRET}"}}]}}}}'
    api.script += [Reply(cut=True), Reply(503, echo), Reply(400, echo), events(cut=True), Reply(400, echo)]
    told = []
    with opened(kind, api.base_url, SECRET) as face:
        for ask in (lambda: face(lambda c: c.ping()), lambda: face.all(lambda c: c.stream("hi"))):
            with pytest.raises(ApiError) as caught:
                ask()
            told += [repr(caught.value), str(caught.value.details), *traceback.format_exception(caught.value)]
        told += [repr(face.client), repr(face.client.threads), repr(face.client.with_agent("echo"))]
    told += caplog.messages
    assert "again in" in caplog.text
    assert SECRET not in "\n".join(told)
    assert api.base_url in repr(face.client)


@pytest.mark.parametrize("kind", [AgentFlowClient, AsyncAgentFlowClient])
@pytest.mark.parametrize("key", ["", "a b", "a\nb", "schlüssel", "\0"])
def test_keys_that_are_none(kind: type, key: str) -> None:
    """Said when the client is made, in words that do not hold it."""
    with pytest.raises(ConfigurationError) as caught:
        kind("http://localhost", key)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "localhost:8000", "ftp://x", "http://", "http://u:p@x", "http://x?a=1", "http://x#a"],
)
def test_addresses_that_are_none(url: str) -> None:
    """Said when the client is made."""
    with pytest.raises(ConfigurationError):
        AgentFlowClient(url)


def test_the_extra_is_named() -> None:
    """Without httpx the package says what to install; `import agentflow` needs none of it."""
    program = """
import sys
sys.modules["httpx"] = None
import agentflow, agentflow.core.graph
try:
    import agentflow.client
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "agentflow[client]"' in done.stdout
    assert "httpx" in done.stdout


@pytest.mark.parametrize("kind", FACES)
def test_a_closed_client(api: ScriptedApi, kind: str) -> None:
    """Says so, in the client's own class, for calls and streams and for its other agents; nothing is sent."""
    with opened(kind, api.base_url) as face:
        other = face.client.with_agent("echo")
        face(lambda c: c.close() if kind == "blocking" else c.aclose())
        for call in (lambda c: c.ping(), lambda c: c.invoke("hi"), lambda _: other.threads.get("t")):
            with pytest.raises(ClientClosedError, match="closed"):
                face(call)
        with pytest.raises(ClientClosedError):
            face.all(lambda c: c.stream("hi"))
    assert api.asked == []


def test_a_client_on_connections_of_the_users(api: ScriptedApi) -> None:
    """Closing it leaves them open, and closes it all the same."""
    with httpx.Client() as http:
        client = AgentFlowClient(api.base_url, SECRET, http_client=http)
        client.close()
        assert not http.is_closed
        with pytest.raises(ClientClosedError):
            client.ping()
