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
    """The servers with their volumes, the API and the worker, and who looks at them."""
    service = {"postgres", "valkey", "migrate", "api", "worker"}
    looking = {"collector", "tempo-volume", "tempo", "prometheus", "grafana"}
    assert compose["services"].keys() == service | looking
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
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize(("name", "variables"), [("api", API_VARIABLES), ("worker", WORKER_VARIABLES)])
def test_variables_are_read_and_complete(compose: Any, name: str, variables: dict[str, str]) -> None:
    """Every variable set is one the service knows, and every required one is set."""
    given = compose["services"][name]["environment"]
    assert given.keys() <= variables.keys() | {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER"}
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
                assert (ROOT / volume.split(":")[0]).exists(), volume
    members = re.findall(r"(?:packages|services)/\w+", dockerfile.read_text())
    assert {path for path in members if (ROOT / path / "pyproject.toml").exists()} == {
        f"{folder}/{path.name}" for folder in ("packages", "services") for path in (ROOT / folder).iterdir()
    }


def test_who_looks_finds_what_there_is(compose: Any) -> None:
    """Addresses in the configurations are those of services, and paths are mounted there."""
    infra, services = ROOT / "infra", compose["services"]
    scraped = yaml.safe_load((infra / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for group in job["static_configs"] for target in group["targets"]]
    worker = services["worker"]["environment"]["AGENTFLOW_METRICS_PORT"]
    telemetry = yaml.safe_load((infra / "collector/collector.yml").read_text())["service"]["telemetry"]
    collector = telemetry["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["port"]
    api = services["api"]["environment"]["AGENTFLOW_PORT"]
    assert targets == [f"api:{api}", f"worker:{worker}", f"collector:{collector}"]
    secrets = {job["authorization"]["credentials_file"] for job in scraped if "authorization" in job}
    assert secrets == {f"/run/secrets/{name}" for name in services["prometheus"]["secrets"]}
    assert services["prometheus"]["secrets"] == list(compose["secrets"])
    sources = yaml.safe_load((infra / "grafana/provisioning/datasources/agentflow.yml").read_text())
    for source in sources["datasources"]:
        assert source["url"].removeprefix("http://").split(":")[0] in services
    provided = yaml.safe_load((infra / "grafana/provisioning/dashboards/agentflow.yml").read_text())
    folder = provided["providers"][0]["options"]["path"]
    assert f"./infra/grafana/json:{folder}:ro" in services["grafana"]["volumes"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (infra / "grafana/json" / home.removeprefix(f"{folder}/")).is_file()


def test_the_collectors_own_numbers_have_their_names() -> None:
    """Those of its documentation, which the runbooks use: a reader that is set up by hand changes them."""
    telemetry = yaml.safe_load((ROOT / "infra/collector/collector.yml").read_text())["service"]["telemetry"]
    exporter = telemetry["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]
    assert exporter["without_type_suffix"]
    assert exporter["without_units"]


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
