"""Offboarding from the command line."""

import json
import threading

import pytest

from tests.integration.api.test_offboarding import work
from tests.support.api import Api
from tests.support.command import Operator
from tests.support.waiting import soon


@pytest.fixture
def operator(api: Api) -> Operator:
    return Operator(api)


def test_a_tenant_is_offboarded_and_watched(api: Api, operator: Operator, redis_url: str) -> None:
    """A dry run, then to the end with the progress; its receipt is listed and shown."""
    slug = api.tenant().tenant.slug

    def work_once_asked() -> None:
        with api.operator() as client:
            asked = {"tenant": slug, "state": "suspended"}
            soon(
                lambda: client.get("/v1/admin/offboardings", params=asked).json()["data"]["offboardings"], 60
            )
        work(api, redis_url, settle_s=0)

    dry = json.loads(operator.text("tenant", "offboard", slug, "--dry-run", "--json"))
    assert dry["dry_run"] is True
    cancelled = operator.json("offboarding", "cancel", dry["offboarding_id"])
    assert cancelled["state"] == "cancelled"
    assert operator.run("offboarding", "watch", dry["offboarding_id"]).returncode == 4
    worker = threading.Thread(target=work_once_asked)
    worker.start()
    shown = operator.text("tenant", "offboard", slug, "--grace-s", "0", "--watch")
    worker.join()
    assert "purged, end: 0 of 0 threads" in shown
    receipts = json.loads(operator.text("receipt", "list", "--json"))
    receipt_id = receipts[-1]["receipt"]["receipt_id"]
    assert receipt_id in shown
    assert json.loads(operator.text("receipt", "show", receipt_id)) == receipts[-1]
    assert receipt_id in operator.text("receipt", "list")
    assert "purged" in operator.text("offboarding", "watch", receipt_id)
    assert receipt_id in operator.text("offboarding", "list", "--state", "purged")


def test_a_grace_is_skipped_and_a_user_forgotten(api: Api, operator: Operator, redis_url: str) -> None:
    """Each with one command."""
    slug = api.tenant().tenant.slug
    asked = json.loads(operator.text("tenant", "forget-user", slug, "u-1", "--grace-s", "3600", "--json"))
    assert (asked["kind"], asked["state"]) == ("user", "grace")
    skipped = json.loads(operator.text("offboarding", "skip-grace", asked["offboarding_id"], "--json"))
    assert skipped["grace_s"] == 0
    work(api, redis_url, settle_s=0)
    assert (
        json.loads(operator.text("offboarding", "show", asked["offboarding_id"], "--json"))["state"]
        == "purged"
    )
