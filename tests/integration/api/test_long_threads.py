"""Threads of any length over HTTP: sent and read as JSON lines, in bounded memory, cut and gone on with."""

import gzip
import json
import re
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentflow.client import AgentFlowClient
from agentflow.core.state import Message, RemoteToolCallBlock, ToolCallBlock, ToolResultBlock
from tests.support.api import Api, TenantKey
from tests.support.waiting import soon

NDJSON = "application/x-ndjson"
LINES = {"content-type": NDJSON}
WANTED = {"accept": NDJSON}
MEGABYTE = 1024 * 1024


def said(text: str, message_id: str | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "user", "content": [{"type": "text", "text": text}]}
    return message if message_id is None else {**message, "message_id": message_id}


def body(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def upload(client: httpx.Client, content: Any, thread: str = "t", **headers: str) -> httpx.Response:
    fields = LINES | {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/threads/{thread}/messages", content=content, headers=fields)


def counts(answer: httpx.Response) -> tuple[int, int, int]:
    assert answer.status_code == 200, answer.text
    done = answer.json()["data"]["data"]
    return done["lines"], done["added"], done["skipped"]


def stored(progress: httpx.Response) -> tuple[int, int] | None:
    """What the answer to a failed upload says is there."""
    for detail in progress.json()["error"]["details"]:
        if detail["type"] == "upload_progress":
            return detail["lines"], detail["added"]
    return None


def download(client: httpx.Client, thread: str = "t", **query: int) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/threads/{thread}/messages", headers=WANTED, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(NDJSON)
    return [json.loads(line) for line in answer.content.split(b"\n")[:-1]]


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return ["".join(block.get("text", "") for block in message["content"]) for message in messages]


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Iterator[httpx.Client]:
    with api.client(tenant) as made:
        yield made


def test_there_and_back(client: httpx.Client) -> None:
    """What comes down goes up again into another thread, the same, in order; also packed."""
    call = ToolCallBlock(id="a", name="look", args={"at": "\u2028"})
    remote = RemoteToolCallBlock(id="b", name="ask")
    talk = [
        Message.text_message(f"caf\xe9 \u2028 {n}", role="user" if n % 2 else "assistant")
        for n in range(1200)
    ]
    talk[100:101] = [
        Message(role="assistant", content=[call, remote]),
        Message.tool_message([ToolResultBlock(call_id="b", output={"k": [1, None]})], metadata={"x": 1}),
        Message.text_message("late", role="user"),
        Message.tool_message([ToolResultBlock(call_id="a", output="found", is_error=True)]),
    ]
    sent = "\r\n\n".join(message.model_dump_json() for message in talk).encode()
    assert counts(upload(client, sent)) == (1203, 1203, 0)
    got = download(client)
    assert [Message.model_validate(message) for message in got] == talk
    again = gzip.compress(body(*got))
    assert counts(upload(client, again, "other", content_encoding="gzip")) == (1203, 1203, 0)
    assert download(client, "other") == got
    pages = [
        message
        for offset in (0, 1000)
        for message in client.get("/v1/threads/t/messages", params={"offset": offset, "limit": 1000}).json()[
            "data"
        ]["messages"]
    ]
    assert pages == got
    history = client.get("/v1/threads/t/history").json()["data"]["checkpoints"]
    assert [entry["source"] for entry in history] == ["update"] * len(history)
    assert 3 <= len(history) <= 4


def test_what_is_sent_again_is_there_once(client: httpx.Client) -> None:
    """By their own ids, whatever else comes; without ids by those that the key gives them."""
    named = [said(str(n), f"id-{n}") for n in range(700)]
    assert counts(upload(client, body(*named[:600]))) == (600, 600, 0)
    assert counts(upload(client, body(*named))) == (700, 100, 600)
    assert texts(download(client)) == [str(n) for n in range(700)]
    nameless = [said(str(n)) for n in range(700)]
    broken = body(*nameless) + b"{"
    failed = upload(client, broken, "keyed", idempotency_key="k1")
    assert (failed.status_code, stored(failed)) == (400, (500, 500))
    assert counts(upload(client, body(*nameless), "keyed", idempotency_key="k1")) == (700, 200, 500)
    replayed = upload(client, body(*nameless), "keyed", idempotency_key="k1")
    assert replayed.headers["idempotent-replayed"] == "true"
    assert counts(replayed) == (700, 200, 500)
    assert texts(download(client, "keyed")) == [str(n) for n in range(700)]


def test_an_upload_that_is_cut(api: Api, client: httpx.Client, tenant: TenantKey) -> None:
    """Whole batches stay; the same upload goes on behind them, and the thread is free at once."""
    lines = [said(f"{n} " + "x" * 1000) for n in range(2500)]
    with socket.create_connection(("127.0.0.1", api.port)) as raw:
        head = (
            f"POST /v1/threads/t/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.key}\r\n"
            f"Content-Type: {NDJSON}\r\nIdempotency-Key: cut\r\nContent-Length: 99999999\r\n\r\n"
        )
        raw.sendall(head.encode() + body(*lines[:1300]))
        soon(lambda: client.get("/v1/threads/t").status_code == 200, within_s=20)
    soon(lambda: upload(client, body(said("probe", "probe"))).status_code == 200, within_s=20)
    done = counts(upload(client, body(*lines), idempotency_key="cut"))
    assert done[0] == 2500
    assert done[1] + done[2] == 2500
    assert done[2] >= 500
    got = [text for text in texts(download(client)) if text != "probe"]
    assert got == [line["content"][0]["text"] for line in lines]


@pytest.mark.parametrize(
    ("bad", "status", "where"),
    [
        (b"{", 400, None),
        (b"[]", 422, ["body", 601]),
        (body(said("x", "a/b")), 422, ["body", 601, "message_id"]),
        (b'{"role": "nobody", "content": []}', 422, ["body", 601, "role"]),
        (body({"role": "tool", "content": [{"type": "tool_result", "call_id": "x"}]}), 422, None),
        (b'{"role": "user", "content": [{"type": "text", "text": "\xff"}]}', 400, None),
        (body(said("x" * (MEGABYTE + 1))), 413, ["limit", "message_bytes"]),
        (b'"' + b"x" * (5 * MEGABYTE) + b'"', 413, None),
    ],
    ids=[
        "no JSON",
        "no object",
        "no path",
        "no role",
        "no call",
        "no UTF-8",
        "message too large",
        "line too large",
    ],
)
def test_a_line_that_is_wrong(client: httpx.Client, bad: bytes, status: int, where: Any) -> None:
    """It is said which; whole batches before it stay, and the answer tells how much that is."""
    failed = upload(client, body(*(said(str(n)) for n in range(600))) + bad)
    assert failed.status_code == status, failed.text
    assert stored(failed) == (500, 500)
    if where is not None:
        assert failed.json()["error"]["details"][0]["loc"] == where
    assert len(download(client)) == 500


def test_calls_that_nothing_answers(client: httpx.Client) -> None:
    """A client cannot leave a call behind that the agent would carry out."""
    call = json.loads(
        Message(role="assistant", content=[ToolCallBlock(id="a", name="pay")]).model_dump_json()
    )
    for messages in ([said("hi"), call], [call, *(said(str(n)) for n in range(2500))]):
        failed = upload(client, body(*messages))
        assert (failed.status_code, stored(failed)) == (422, None)
        assert "'a' has no result" in failed.json()["error"]["message"]
    assert client.get("/v1/threads/t").status_code == 404
    by_field = {**said("x"), "role": "assistant", "tools_calls": [{"id": "a"}]}
    assert upload(client, body(by_field)).status_code == 422


def test_what_is_packed_badly(client: httpx.Client) -> None:
    """No gzip, half of it, something else, or a bomb: refused, and nothing of a bomb is unpacked at once."""
    packed = gzip.compress(body(said("x")))
    assert upload(client, b"plain", content_encoding="gzip").status_code == 400
    assert upload(client, packed[:-9], content_encoding="gzip").status_code == 400
    assert upload(client, packed, content_encoding="br").status_code == 415
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"\n" * MEGABYTE) for _ in range(128)) + packer.flush()
    assert len(bomb) < 200_000
    refused = upload(client, bomb, content_encoding="gzip")
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "BODY_TOO_LARGE"


def test_a_download_is_of_one_version(client: httpx.Client) -> None:
    """Whatever is written and removed meanwhile: the rest of that version, or nothing that looks like it."""
    upload(client, body(*(said(str(n), f"id-{n}") for n in range(1500))))
    answer = client.get("/v1/threads/t/messages", headers=WANTED)
    version = int(answer.headers["x-thread-version"])
    for n in (3, 1200):
        assert client.request("DELETE", f"/v1/threads/t/messages/id-{n}", json={}).status_code == 200
    upload(client, body(said("new")))
    assert texts(download(client, version=version, offset=1100)) == [str(n) for n in range(1100, 1500)]
    now = texts(download(client))
    assert len(now) == 1499
    assert now[-1] == "new"
    gone = client.get("/v1/threads/t/messages", headers=WANTED, params={"version": 999})
    assert gone.status_code == 404
    for query in ({"version": "x"}, {"offset": "-1"}):
        assert client.get("/v1/threads/t/messages", headers=WANTED, params=query).status_code == 422


def test_a_download_that_cannot_end_breaks_off(api: Api, client: httpx.Client, tenant: TenantKey) -> None:
    """A thread that is deleted meanwhile does not end in something that looks whole."""
    upload(client, body(*(said("x" * 20_000) for _ in range(1000))))
    with (
        client.stream("GET", "/v1/threads/t/messages", headers=WANTED) as answer,
        api.client(tenant) as other,
    ):
        pieces = answer.iter_raw()
        next(pieces)
        assert other.request("DELETE", "/v1/threads/t", json={}).status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)


def test_nobody_elses(api: Api, client: httpx.Client) -> None:
    """Neither read nor written by another tenant, nor without a right to it."""
    upload(client, body(said("secret")))
    with api.client(api.tenant()) as other, api.client(api.tenant(scopes=["usage:read"])) as none:
        assert other.get("/v1/threads/t/messages", headers=WANTED).status_code == 404
        assert counts(upload(other, body(said("mine")))) == (1, 1, 0)
        assert texts(download(other)) == ["mine"]
        assert none.get("/v1/threads/t/messages", headers=WANTED).status_code == 403
        assert upload(none, body(said("x"))).status_code == 403
    assert httpx.get(f"{api.base_url}/v1/threads/t/messages", headers=WANTED).status_code == 401
    assert texts(download(client)) == ["secret"]


def test_quotas_hold_on_the_way(api: Api, client: httpx.Client, tenant: TenantKey) -> None:
    """What may be kept is counted as it comes; what was stored before stays and is said."""
    with api.operator() as operator:
        limits = {"stored_bytes": 300_000, "thread_messages": 2000}
        operator.patch(f"/v1/admin/tenants/{tenant.tenant.slug}", json={"limits": limits})
    soon(lambda: "stored-bytes" in upload(client, body(said("p")), "p").headers.get("ratelimit-policy", ""))
    refused = upload(client, body(*(said("x" * 200) for _ in range(3000))))
    assert refused.status_code == 429
    assert refused.json()["error"]["details"][0]["quota"] == "stored-bytes"
    progress = stored(refused)
    assert progress is not None
    assert 500 <= progress[0] <= 1500
    assert len(download(client)) == progress[0]
    full = upload(client, body(*(said(str(n)) for n in range(2500))), "full")
    assert full.json()["error"]["code"] == "THREAD_FULL"
    assert stored(full) == (2000, 2000)


def peak_mb(pid: int) -> float:
    """The most memory that a process ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.slow
def test_a_hundred_megabytes(api: Api, tenant: TenantKey) -> None:
    """Up from a generator and down into a loop: the service grows by less than 60 MB."""
    with AgentFlowClient(api.base_url, tenant.key) as client:
        client.threads.import_messages("warm", [said("x" * 20_000) for _ in range(100)])
        assert len(list(client.threads.export_messages("warm"))) == 100
        before = {pid: peak_mb(pid) for pid in api.pids()}
        done = client.threads.import_messages("t", (said(f"{n} " + "x" * 20_000) for n in range(5000)))
        assert done.added == 5000
        size = sum(len(message.text()) for message in client.threads.export_messages("t"))
        assert size > 100_000_000
        grown = max(peak_mb(pid) - before[pid] for pid in before)
        assert grown < 60
