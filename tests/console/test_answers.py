"""What every answer below /console has, whatever is asked for and whoever asks."""

import pytest

from agentflow_api.console.edge import HEADERS
from tests.support.api import Api, TenantKey
from tests.support.console import Visitor

FIELDS = {name: value for name, value in HEADERS.items() if name != "cache-control"}
ADDRESSES = [
    ("GET", "/console", 303),
    ("GET", "/console/sign-in", 200),
    ("POST", "/console/sign-in", 401),
    ("GET", "/console/nothing", 404),
    ("GET", "/console/", 303),
    ("GET", "/console/threads//state", 404),
    ("GET", "/console/threads/a%2Fb", 404),
    ("GET", "/console/assets/x/nothing.css", 404),
    ("GET", "/console/assets/x/console.css", 200),
    ("DELETE", "/console/sign-in", 405),
    ("PUT", "/console/home", 405),
    ("OPTIONS", "/console/home", 204),
    ("GET", "/console/home", 303),
    ("GET", "/console/api/v1/threads", 401),
    ("GET", "/console/api/nothing", 401),
]


@pytest.mark.parametrize(("method", "path", "status"), ADDRESSES)
def test_every_answer_has_the_fields(anybody: Visitor, method: str, path: str, status: int) -> None:
    """Pages, files, refusals, and what is nowhere."""
    answer = anybody.client.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in FIELDS} == FIELDS
    assert "cache-control" in answer.headers
    if status in (404, 405):
        assert answer.headers["content-type"].startswith("text/html")
        assert 'role="alert"' in answer.text
        assert "To the first page" in answer.text


def test_so_has_one_that_is_too_large_and_one_of_a_session(anybody: Visitor, tenant: TenantKey) -> None:
    """The refusal of a form's size is a page; what scripts ask for stays JSON."""
    large = anybody.client.post("/console/sign-in", content=b"x" * 300_000)
    assert large.status_code == 413
    assert large.headers.items() >= FIELDS.items()
    assert "<h1>Too much</h1>" in large.text
    anybody.sign_in(tenant.key)
    mine = {"x-form-token": anybody.form_token}
    for path, status in (("v1/threads", 200), ("v1/nothing", 404), ("v1/threads/missing", 404)):
        answer = anybody.client.get(f"/console/api/{path}", headers=mine)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert answer.headers.items() >= FIELDS.items()
        assert answer.headers["cache-control"] == "no-store"


def test_a_wrong_address_of_who_is_signed_in(operator: Visitor) -> None:
    """The page leads back, and out."""
    page = operator.see("/console/nothing", status=404)
    assert "<h1>Not found</h1>" in page
    assert 'action="/console/sign-out"' in page


def test_head(anybody: Visitor, api: Api, operator: Visitor) -> None:
    """What GET says, without the page."""
    for visitor, path in (
        (anybody, "/console/sign-in"),
        (operator, "/console/tenants"),
        (anybody, "/console/home"),
        (anybody, "/console/nothing"),
        (anybody, "/console/assets/x/console.css"),
    ):
        head, got = visitor.client.head(path), visitor.client.get(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    refused = anybody.client.delete("/console/sign-in")
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS, POST"
