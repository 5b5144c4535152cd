"""The container files, checked without an engine: what they name exists, and what they set is read."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentflow_api.settings import VARIABLES as API_VARIABLES
from agentflow_worker.settings import VARIABLES as WORKER_VARIABLES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_services_and_volumes(compose: Any) -> None:
    """The seed's servers with their volumes, the API and the worker."""
    assert compose["services"].keys() == {"postgres", "valkey", "migrate", "api", "worker"}
    used = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if not volume.startswith(".")
    }
    assert used == compose["volumes"].keys()
    for service in compose["services"].values():
        for after in service.get("depends_on", ()):
            assert after in compose["services"]


def test_ports_are_on_loopback(compose: Any) -> None:
    """Nothing is offered to the network."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize(("name", "variables"), [("api", API_VARIABLES), ("worker", WORKER_VARIABLES)])
def test_variables_are_read_and_complete(compose: Any, name: str, variables: dict[str, str]) -> None:
    """Every variable set is one the service knows, and every required one is set."""
    given = compose["services"][name]["environment"]
    assert given.keys() <= variables.keys()
    required = {variable for variable, meaning in variables.items() if "Required" in meaning}
    assert required <= given.keys()


def test_files_named_exist(compose: Any) -> None:
    """Build files, mounted files, and what the image copies."""
    dockerfile = ROOT / compose["services"]["api"]["build"]["dockerfile"]
    for line in dockerfile.read_text().splitlines():
        if line.startswith("COPY "):
            assert (ROOT / line.split()[1]).exists(), line
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            if volume.startswith("."):
                assert (ROOT / volume.split(":")[0]).is_file(), volume
    members = re.findall(r"(?:packages|services)/\w+", dockerfile.read_text())
    assert {path for path in members if (ROOT / path / "pyproject.toml").exists()} == {
        f"{folder}/{path.name}" for folder in ("packages", "services") for path in (ROOT / folder).iterdir()
    }


def test_valkey_never_evicts() -> None:
    """It holds locks."""
    settings = (ROOT / "infra/valkey/valkey.conf").read_text()
    assert "maxmemory-policy noeviction" in settings


def test_settings_page_lists_every_variable() -> None:
    """docs/reference/settings.md and the code say the same."""
    page = (ROOT / "docs/reference/settings.md").read_text()
    for variables in (API_VARIABLES, WORKER_VARIABLES):
        for variable, meaning in variables.items():
            assert f"| `{variable}` | {meaning} |" in page
