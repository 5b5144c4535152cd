"""A really running API process, with tenants of its own, for tests over HTTP."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_tenancy import ALL_SCOPES, KeyRepository, Tenant, TenantRepository, new_api_key
from tests.support import databases

# A guard against waiting for ever, not a measure: other tests may have the machine.
READY_WITHIN_S = 240.0


@dataclass
class TenantKey:
    """A tenant made for a test, with a key."""

    tenant: Tenant
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """What its requests carry."""
        return {"Authorization": f"Bearer {self.key}"}


class Api:
    """One API process on a database; may be killed and started again."""

    module = "agentflow_api"

    def __init__(self, database_url: str, redis_url: str | None, **environment: str) -> None:
        self.log_file: Path | None = None
        self.database_url = database_url
        self.pepper = secrets.token_hex(32)
        self.operator_token = secrets.token_hex(32)
        self.port = free_port()
        self.exports = Path(tempfile.gettempdir()) / f"af-exports-{secrets.token_hex(6)}"
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "AGENTFLOW_DATABASE_URL": databases.app_url(database_url),
            "AGENTFLOW_REDIS_URL": redis_url or "none",
            "AGENTFLOW_KEY_PEPPER": self.pepper,
            "AGENTFLOW_OPERATOR_TOKEN": self.operator_token,
            "AGENTFLOW_PORT": str(self.port),
            "AGENTFLOW_EXPORTS": str(self.exports),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, path: str = "/ping") -> None:
        """Start and wait until it answers."""
        with self.log_file.open("ab") if self.log_file else nullcontext() as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module], env=self.environment, stderr=log
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the API ended with {self._process.returncode}")
            try:
                if httpx.get(self.base_url + path).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        self.kill()
        raise RuntimeError("the API did not get ready")

    @property
    def serving_pid(self) -> int:
        """Of the process that answers; the one above only watches it."""
        assert self._process is not None
        return _children(self._process.pid)[-1]

    def kill(self) -> None:
        """End it without a word: the server and the processes it started."""
        for pid in self.pids():
            os.kill(pid, 9)
        assert self._process is not None
        self._process.wait()

    def pids(self) -> list[int]:
        """Of the server and the processes it started."""
        assert self._process is not None
        return [self._process.pid, *_children(self._process.pid)]

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(READY_WITHIN_S)

    def client(self, tenant: TenantKey | None = None) -> httpx.Client:
        """A client, with a tenant's credential."""
        return httpx.Client(base_url=self.base_url, headers=tenant.headers if tenant else {}, timeout=60)

    def operator(self) -> httpx.Client:
        """A client with the operator's token."""
        headers = {"Authorization": f"Bearer {self.operator_token}"}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=60)

    def with_key(self, key: str) -> httpx.Client:
        """A client with this API key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=60)

    def tenant(self, slug: str | None = None, scopes: Sequence[str] = ALL_SCOPES, **values: Any) -> TenantKey:
        """Make a tenant with a key."""
        return asyncio.run(self._tenant(slug or f"t-{secrets.token_hex(6)}", scopes, values))

    async def _tenant(self, slug: str, scopes: Sequence[str], values: dict[str, Any]) -> TenantKey:
        engine = create_async_engine(self.database_url)
        try:
            repository = TenantRepository(engine)
            tenant = await repository.find_tenant(slug) or await repository.create_tenant(slug, **values)
            key = new_api_key()
            await KeyRepository(engine).create(
                tenant.tenant_id, key, pepper=self.pepper.encode(), name="test", scopes=scopes
            )
            return TenantKey(tenant, key.text)
        finally:
            await engine.dispose()


@contextmanager
def running_api(database_url: str, redis_url: str | None, **environment: str) -> Iterator[Api]:
    """An API for the length of a block."""
    with running(Api(database_url, redis_url, **environment)) as api:
        yield api


@contextmanager
def running(api: Api) -> Iterator[Api]:
    """The same, of one that was made before."""
    try:
        api.start()
        yield api
    finally:
        api.stop()
        shutil.rmtree(api.exports, ignore_errors=True)


def say(text: str, thread_id: str | None = "t", **other: Any) -> dict[str, Any]:
    """The body of an invoke, as the TypeScript client sends it."""
    message = {"message_id": "0", "role": "user", "content": [{"type": "text", "text": text}]}
    config = {} if thread_id is None else {"thread_id": thread_id}
    return {"messages": [message], "config": config, "response_granularity": "low", **other}


def last_text(response: httpx.Response) -> str:
    """The text of the last message of an invoke's answer."""
    assert response.status_code == 200, response.text
    text: str = response.json()["data"]["messages"][-1]["content"][0]["text"]
    return text


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
