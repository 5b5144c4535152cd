"""Every operation of the OpenAPI document, with generated requests, on a running API."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.api import Api, running_api
from tests.support.run import ROOT
from tests.support.worker import running_worker

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
)
# Left out:
# - positive_data_acceptance: what fits the document may still not fit what is stored (409), or break a rule
#   that no schema can say (422).
# - object_level_authorization: it wants two identities; tests/isolation has it for every route.
# - allow_header_conformance: a thread may be called "search", so that this path takes the methods of two
#   operations; test_allowed_methods.py has the field.
OPERATORS = "^/v1/admin/"
# All the others, but for what has nothing behind it and answers 503 for now.
TENANTS = "^/(?!v1/(admin|store|files|config)/)"
ENDS_KEYS = "^(revoke|rotate)_key$"
FULL = os.environ.get("AGENTFLOW_TEST_PROFILE") == "full"
EXAMPLES = 25 if FULL else 3
PHASES = "examples,coverage,fuzzing,stateful"


@pytest.fixture
def served(migrated_database_url: str, redis_url: str) -> Iterator[Api]:
    """An API of its own, with a worker that carries out what waits: these requests may change anything."""
    with running_api(migrated_database_url, redis_url) as api:
        runs_too = {
            "AGENTFLOW_DATABASE_URL": databases.app_url(migrated_database_url),
            "AGENTFLOW_KEY_PEPPER": api.pepper,
        }
        with running_worker(migrated_database_url, redis_url, **runs_too):
            yield api


def run(api: Api, credential: str, folder: Path, *which: str) -> None:
    """Fails with what schemathesis says when any check does."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.base_url}/openapi.json"),
        *("--url", api.base_url, "--header", f"Authorization: Bearer {credential}"),
        *("--checks", ",".join(CHECKS), "--phases", PHASES, "--workers", "1"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic"),
        *("--request-timeout", "60", "--no-color", "--continue-on-failure"),
        *which,
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_lines", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **hooks}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Authentication failed" not in done.stdout  # then it would have tried nothing


def test_a_tenants_operations_keep_to_the_document(served: Api, tmp_path: Path) -> None:
    """Whatever is sent: a documented status, the documented form, no 5xx, and nothing without the key."""
    others = ("--include-path-regex", TENANTS, "--exclude-operation-id-regex", ENDS_KEYS)
    run(served, served.tenant().key, tmp_path, *others)


def test_keys_are_ended_as_the_document_says(served: Api, tmp_path: Path) -> None:
    """Apart from the operations that tell which keys there are: it would end the one it has."""
    run(served, served.tenant().key, tmp_path, "--include-operation-id-regex", f"{ENDS_KEYS}|^create_key$")


def test_the_operators_operations_keep_to_the_document(served: Api, tmp_path: Path) -> None:
    """The same with the operator's token."""
    run(served, served.operator_token, tmp_path, "--include-path-regex", OPERATORS)
