"""Fixtures for the whole suite: servers shared by all workers, a database a test, servers to break."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from agentflow_embedded import EmbeddedPostgres, EmbeddedValkey, remove_state
from tests.support import databases
from tests.support.api_fixtures import api, tenant  # noqa: F401 - fixtures
from tests.support.run import Run, Servers

# Time limits belong to benchmarks: a busy machine is no reason for a red test.
settings.register_profile(
    "quick", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("full", settings.get_profile("quick"), max_examples=2000)
settings.load_profile(os.environ.get("AGENTFLOW_TEST_PROFILE", "quick"))

_RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RUN] = Run.join()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if (run := config.stash.get(_RUN, None)) is not None:
        template = run.folder / "template"
        if template.exists() and not config_is_worker(config):
            databases.drop(run.servers().database_url, template.read_text())
        run.leave()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Root's servers keep their files outside of the tests' folders, which are all that pytest deletes."""
    if not config_is_worker(session.config):
        folder: Path = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        for note in list(folder.rglob("moved")):
            remove_state(note.parent.parent)


def config_is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> Run:
    return pytestconfig.stash[_RUN]


@pytest.fixture(scope="session")
def servers(run: Run) -> Servers:
    """The shared PostgreSQL and Valkey, or the pair that AGENTFLOW_TEST_*_URL names."""
    return run.servers()


@pytest.fixture(scope="module", autouse=True)
def left_open() -> Iterator[None]:
    """What a module leaves open (a socket, a file) fails that module, and not whoever comes after it."""
    yield
    gc.collect()


@pytest.fixture
def database_url(servers: Servers, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, as SQLAlchemy's address. The test fails if it leaves a connection open."""
    yield from _database(servers, request, None)


@pytest.fixture
def migrated_database_url(servers: Servers, template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with every migration applied. The test fails if it leaves a connection open."""
    yield from _database(servers, request, template)


@pytest.fixture(scope="session")
def template(run: Run, servers: Servers) -> str:
    """The name of a database that the migrations were applied to once in this run; nobody connects to it."""

    def make() -> str:
        name = databases.new_name("template")
        databases.create(servers.database_url, name)
        databases.migrate(databases.url_of(servers.database_url, name))
        return name

    return run.once("template", make)


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """The shared Valkey. Keys carry an id of their database, so tests do not meet; never flush it."""
    return servers.redis_url


@pytest.fixture
def state_dir(run: Run) -> Path:
    """An empty folder with a short path, fit for servers of every user."""
    return run.new_folder()


@pytest.fixture
def own_postgres(state_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of this test alone, to be killed or paused. Durable, unlike the shared one."""
    with EmbeddedPostgres(state_dir) as server:
        yield server


@pytest.fixture
def own_valkey(state_dir: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey of this test alone, to be killed, paused or flushed."""
    with EmbeddedValkey(state_dir) as server:
        yield server


def _database(servers: Servers, request: pytest.FixtureRequest, template: str | None) -> Iterator[str]:
    name = databases.new_name("test")
    databases.create(servers.database_url, name, template)
    try:
        yield databases.url_of(servers.database_url, name)
        left = databases.open_connections(servers.database_url, name)
    finally:
        databases.drop(servers.database_url, name)
    if left and request.node.get_closest_marker("leaves_connections") is None:
        pytest.fail(f"{len(left)} connections were left open: {left}")
