"""Exports and imports, from the command line."""

import threading
from pathlib import Path

import pytest

from tests.support.api import Api, TenantKey, last_text, say
from tests.support.command import Operator
from tests.support.export_work import carried_out
from tests.support.waiting import soon


@pytest.fixture
def operator(api: Api) -> Operator:
    return Operator(api)


def worked(api: Api, tenant: TenantKey, path: str) -> threading.Thread:
    """A worker that carries out what is asked for, as soon as it is."""

    def work_once_asked() -> None:
        with api.client(tenant) as client:
            soon(lambda: client.get(f"/v1/{path}").json()["data"][path], 60)
        carried_out(api)

    thread = threading.Thread(target=work_once_asked)
    thread.start()
    return thread


def test_out_and_back(api: Api, operator: Operator, tenant: TenantKey, tmp_path: Path) -> None:
    """To a file, and into another tenant; then the same file again."""
    with api.client(tenant) as client:
        last_text(client.post("/v1/graph/invoke", json=say("My name is Alex.", "t")))
    slug, other, file = tenant.tenant.slug, api.tenant(), tmp_path / "a.tar"
    worker = worked(api, tenant, "exports")
    done = operator.json("export", slug, "-o", str(file))
    worker.join()
    assert (done["state"], done["size_bytes"]) == ("done", file.stat().st_size)
    worker = worked(api, other, "imports")
    brought = operator.json("import", other.tenant.slug, str(file))
    worker.join()
    assert (brought["state"], brought["sha256"]) == ("done", done["sha256"])
    with api.client(other) as client:
        assert "Alex" in last_text(client.post("/v1/graph/invoke", json=say("What's my name?", "t")))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_what_goes_wrong(api: Api, operator: Operator, tenant: TenantKey, tmp_path: Path) -> None:
    """In words, with an exit code, and without a traceback."""
    bad = tmp_path / "bad.tar"
    bad.write_bytes(b"hello")
    slug = tenant.tenant.slug
    assert "no archive" in operator.refused("import", slug, str(bad))
    assert "No such file" in operator.refused("import", slug, str(tmp_path / "missing.tar"))
    assert "no such tenant" in operator.refused("export", "nobody", "-o", str(tmp_path / "x"))
    operator.refused("export", slug, "--thread", "t", "--user", "u", "-o", "x", code=2)
