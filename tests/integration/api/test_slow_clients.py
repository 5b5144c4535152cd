"""Clients that ask for much and never read it: they hold up themselves alone, in bounded memory."""

import hashlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from agentflow.client import AgentFlowClient
from tests.integration.api.test_exports import exported
from tests.support.api import Api, TenantKey, last_text, running_api, say

MEGABYTE = 1024 * 1024
# What all of the answers have is eight times as much as all of them may take.
READERS = 8
MOST_GROWN_MB = 40
MESSAGES, MESSAGE_BYTES = 1000, 20_000


@pytest.fixture
def own_api(migrated_database_url: str, redis_url: str) -> Iterator[Api]:
    """A process that nobody else made grow."""
    with running_api(migrated_database_url, redis_url) as api:
        yield api


@contextmanager
def unread(api: Api, path: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
    """An answer that has begun, of which nothing is read; its connection takes as little as one can."""
    fields = {"Host": "127.0.0.1", **headers}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.settimeout(60)
        own.connect(("127.0.0.1", api.port))
        own.sendall("\r\n".join(lines).encode())
        with http.client.HTTPResponse(own, method="GET") as answer:
            answer.begin()
            assert answer.status == 200
            yield answer


def peak_mb(pid: int) -> float:
    """The most memory that a process ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def talk(api: Api, tenant: TenantKey, text: str) -> None:
    """Each way to have an answer, of another tenant."""
    with api.client(tenant) as client:
        assert client.get("/ping").status_code == 200
        assert last_text(client.post("/a/echo/v1/graph/invoke", json=say(text))) == f"echo: {text}"
        streamed = client.post("/a/echo/v1/graph/stream", json=say(text))
        assert text in json.loads(streamed.text.splitlines()[-1])["message"]["content"][0]["text"]
    url = api.base_url.replace("http", "ws") + "/a/echo/v1/graph/ws"
    with connect(url, additional_headers=tenant.headers) as opened:
        opened.send(json.dumps({"invoke_type": "fresh", **say(text)}))
        told = [json.loads(opened.recv(60)) for _ in range(2)]
        assert told[1]["message"]["content"][0]["text"] == f"echo: {text}"


@pytest.mark.slow
def test_nobody_pays_for_who_does_not_read(own_api: Api) -> None:
    """Streams and downloads of 320 MB altogether wait, and the service goes on; one is then read whole."""
    tenant, other = own_api.tenant(), own_api.tenant()
    accept = {**tenant.headers, "accept": "application/x-ndjson"}
    with AgentFlowClient(own_api.base_url, tenant.key) as client:
        text = "x" * MESSAGE_BYTES
        client.threads.import_messages(
            "t", ({"role": "user", "content": [{"type": "text", "text": text}]} for _ in range(MESSAGES))
        )
    with own_api.client(tenant) as client:
        download = exported(own_api, client)["url"]
    whole = {
        path: hashlib.sha256(httpx.get(own_api.base_url + path, headers=accept).content).digest()
        for path in ("/v1/threads/t/messages", download)
    }
    talk(own_api, other, "before")
    before = peak_mb(own_api.serving_pid)
    with ExitStack() as stack:
        for path, digest in whole.items():
            answers = [stack.enter_context(unread(own_api, path, accept)) for _ in range(READERS)]
            for number in range(20):
                talk(own_api, other, f"hello {number}")
            assert hashlib.sha256(answers[0].read()).digest() == digest
    talk(own_api, other, "after")
    assert peak_mb(own_api.serving_pid) - before < MOST_GROWN_MB
