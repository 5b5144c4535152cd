"""`agentflow-cloud run`: the whole service on this machine, servers included, until Ctrl-C."""

import json
import os
import shlex
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from sqlalchemy.engine import make_url

from agentflow.errors import AgentFlowError
from agentflow_cloud.children import Children
from agentflow_cloud.demo_tenant import SLUG, ensure_demo_tenant
from agentflow_cloud.errors import CommandError
from agentflow_cloud.login import login
from agentflow_cloud.migrate import migrate
from agentflow_cloud.state import DevFile, StateFolder, state_folder
from agentflow_embedded import EmbeddedError, EmbeddedPostgres, EmbeddedValkey
from agentflow_tenancy import TenancyError

_DEFAULT_PORT = 8000
_READY_WITHIN_S = 60.0
_APP_LOGIN = "agentflow_api"
_LOOK_EVERY_S = 0.1


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM: unwinds everything in order."""


def run(*, as_json: bool = False) -> int:
    """Start everything, say what to try, and wait.

    Args:
        as_json: Print one line of JSON when it runs, and the rest where errors go.

    Returns:
        Exit code: 0 when asked to stop, 1 when a part ended by itself.

    Raises:
        CommandError: Something could not be started; what to do about it.
    """
    try:
        with _stoppable(), ExitStack() as stack:
            return _serve(stack, as_json=as_json)
    except _Stopped:
        _say("\nStopped. Data stays in the state folder.", as_json=as_json)
        return 0
    except (EmbeddedError, AgentFlowError, TenancyError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.strerror}: {error.filename}") from error


def _serve(stack: ExitStack, *, as_json: bool) -> int:
    state = state_folder()
    port = _port()
    _say("Starting PostgreSQL and Valkey ...", as_json=as_json)
    database_url, redis_url = _servers(stack, state)
    migrate(database_url)
    pepper = state.secret("pepper")
    dev = DevFile(
        base_url=f"http://127.0.0.1:{port}",
        operator_token=state.secret("operator"),
        tenant=SLUG,
        api_key=ensure_demo_tenant(database_url, pepper.encode(), state),
        database_url=database_url,
        redis_url=redis_url,
    )
    children = Children()
    stack.callback(children.stop)
    login(database_url, _APP_LOGIN, state.secret("app_password"))
    environment = {
        "AGENTFLOW_DATABASE_URL": _app_url(database_url, state),
        "AGENTFLOW_OPERATIONS_DATABASE_URL": database_url,
        "AGENTFLOW_REDIS_URL": redis_url,
        "AGENTFLOW_KEY_PEPPER": pepper,
        "AGENTFLOW_OPERATOR_TOKEN": dev.operator_token,
        "AGENTFLOW_EXPORTS": os.environ.get("AGENTFLOW_EXPORTS") or str(state.path / "exports"),
        "AGENTFLOW_TOMBSTONES": os.environ.get("AGENTFLOW_TOMBSTONES")
        or str(state.path / "tombstones.jsonl"),
        "AGENTFLOW_HOST": "127.0.0.1",
        "AGENTFLOW_PORT": str(port),
    }
    children.start("API", "agentflow_api", environment)
    children.start("worker", "agentflow_worker", environment)
    _wait_until_ready(dev.base_url, children)
    file = state.write_dev_file(dev)
    if as_json:
        print(json.dumps({"base_url": dev.base_url, "tenant": dev.tenant, "file": str(file)}), flush=True)
    else:
        print(_banner(dev, file), flush=True)
    while True:
        ended = children.ended()
        if ended is not None:
            told = f"The {ended[0]} ended by itself (exit code {ended[1]}); stopping the rest."
            _say(told, as_json=as_json)
            return 1
        time.sleep(_LOOK_EVERY_S)


def _servers(stack: ExitStack, state: StateFolder) -> tuple[str, str]:
    """The addresses of Postgres and Redis: those the environment names, or of servers started here."""
    database_url = os.environ.get("AGENTFLOW_DATABASE_URL")
    redis_url = os.environ.get("AGENTFLOW_REDIS_URL")
    if not database_url:
        database_url = stack.enter_context(EmbeddedPostgres(state.path)).url
    if not redis_url:
        redis_url = stack.enter_context(EmbeddedValkey(state.path)).url
    return database_url, redis_url


def _app_url(database_url: str, state: StateFolder) -> str:
    """The database as the services see it: by a login that row level security binds."""
    url = make_url(database_url).set(username=_APP_LOGIN, password=state.secret("app_password"))
    return url.render_as_string(hide_password=False)


def _port() -> int:
    """The API's port.

    Raises:
        CommandError: It is no port, or somebody else listens there.
    """
    text = os.environ.get("AGENTFLOW_PORT") or str(_DEFAULT_PORT)
    if not text.isdecimal() or not 0 <= int(text) < 65536:
        raise CommandError(f"AGENTFLOW_PORT must be a port number, not {text!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            raise CommandError(f"Port {text} is taken: set AGENTFLOW_PORT to a free one.") from error
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(base_url: str, children: Children) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        ended = children.ended()
        if ended is not None:
            raise CommandError(
                f"The {ended[0]} did not start (exit code {ended[1]}); its own words are above."
            )
        try:
            with urllib.request.urlopen(f"{base_url}/health/ready", timeout=5):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_LOOK_EVERY_S)
    raise CommandError(f"The API did not get ready within {_READY_WITHIN_S:g} s.")


def _say(text: str, *, as_json: bool) -> None:
    print(text, file=sys.stderr if as_json else sys.stdout, flush=True)


def _banner(dev: DevFile, file: Path) -> str:
    return f"""
AgentFlow Cloud runs at {dev.base_url} (tenant {dev.tenant!r}). Ctrl-C stops it, data stays.

To look at it: {dev.base_url}/console
  sign in as the tenant with    {dev.api_key}
  sign in as the operator with  {dev.operator_token}

Tell it your name, then ask for it; stop and start it in between if you like:

{_curl(dev, "My name is Alex.")}

{_curl(dev, "What's my name?")}

Postgres  {dev.database_url}
Redis     {dev.redis_url}
All of this, for programs: {file}
"""


def _curl(dev: DevFile, text: str) -> str:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    body = {"messages": [message], "config": {"thread_id": "user-42"}, "response_granularity": "low"}
    words = [
        "curl", "-s", f"{dev.base_url}/v1/graph/invoke",
        "-H", f"Authorization: Bearer {dev.api_key}",
        "-H", "Content-Type: application/json",
        "-d", json.dumps(body),
    ]  # fmt: skip
    return shlex.join(words)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block once; a second one does not cut the stopping short."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
