"""Moves and partitions, from the command line."""

import json
import threading

import pytest

from tests.integration.api.test_operations import work
from tests.support.api import Api, TenantKey
from tests.support.command import Operator
from tests.support.waiting import soon


@pytest.fixture
def operator(api: Api) -> Operator:
    return Operator(api)


def test_a_move_is_asked_for_and_watched(api: Api, operator: Operator, tenant: TenantKey) -> None:
    """To the end, with its progress; then it stands in the lists."""
    slug = tenant.tenant.slug

    def work_once_asked() -> None:
        with api.operator() as client:
            asked = {"tenant": slug, "state": "queued"}
            soon(lambda: client.get("/v1/admin/operations", params=asked).json()["data"]["operations"], 60)
        work(api)

    worker = threading.Thread(target=work_once_asked)
    worker.start()
    shown = operator.text("tenant", "move", slug, "--to", "dedicated", "--reason", "large", "--watch")
    worker.join()
    assert shown.splitlines()[-1].startswith("[####################] done, end")
    operation_id = json.loads(operator.text("operation", "list", "--tenant", slug, "--json"))[0][
        "operation_id"
    ]
    seen = operator.on_a_terminal("operation", "watch", operation_id)
    assert ("100%" in seen, "done, end" in seen, "━" in seen) == (True, True, True)
    listed = json.loads(operator.text("operation", "list", "--tenant", slug, "--json"))
    assert [one["reason"] for one in listed] == ["large"]
    assert json.loads(operator.text("tenant", "show", slug, "--json"))["placement"] >= 1000
    assert listed[0]["operation_id"] in operator.text("operation", "list", "--tenant", slug)
    assert "dedicated" in operator.text("partitions")
    found = json.loads(operator.text("partitions", "--json"))
    assert found.keys() == {"partitions", "would_move"}
    asked = json.loads(operator.text("tenant", "move", slug, "--to", "pool", "--json"))
    assert asked["state"] == "queued"
    cancelled = json.loads(operator.text("operation", "cancel", asked["operation_id"], "--json"))
    assert cancelled["state"] == "cancelled"
    watched = operator.run("operation", "watch", asked["operation_id"])
    assert (watched.returncode, "cancelled" in watched.stdout) == (4, True), watched
    assert "cancelled" in watched.stderr
    assert "cancelled" in operator.text("operation", "show", asked["operation_id"])
