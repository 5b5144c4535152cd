"""Pages of another origin: what a browser asks beforehand, and what it lets a page read of each answer."""

from collections.abc import Iterator

import httpx
import pytest

from agentflow_api.settings import SettingsError, read_settings
from tests.support import databases
from tests.support.api import Api, running_api, say
from tests.support.run import Servers

PAGE = "https://play.example"
ORIGINS = f"{PAGE}, http://localhost:5173, https://*.branch.example"
CLIENTS = "authorization,content-type"


@pytest.fixture(scope="module")
def open_api(servers: Servers, template: str) -> Iterator[Api]:
    name = databases.new_name("origins")
    databases.create(servers.database_url, name, template)
    try:
        url = databases.url_of(servers.database_url, name)
        with running_api(url, servers.redis_url, AGENTFLOW_CORS_ORIGINS=ORIGINS) as api:
            yield api
    finally:
        databases.drop(servers.database_url, name)


def asked_before(api: Api, path: str, method: str, origin: str = PAGE) -> httpx.Response:
    fields = {"access-control-request-method": method, "access-control-request-headers": CLIENTS}
    return httpx.options(api.base_url + path, headers={"origin": origin, **fields})


def names(field: str) -> set[str]:
    return {name.strip().lower() for name in field.split(",")}


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173", "https://two.branch.example"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/graph/invoke"),
        ("POST", "/a/echo/v1/graph/stream"),
        ("PUT", "/v1/threads/t:u/state"),
        ("PATCH", "/v1/threads/t"),
        ("DELETE", "/v1/threads/t"),
    ],
)
def test_a_page_may_call(open_api: Api, origin: str, method: str, path: str) -> None:
    """Without a credential, which browsers do not send with the question."""
    told = asked_before(open_api, path, method, origin)
    assert (told.status_code, told.content) == (204, b"")
    assert told.headers["access-control-allow-origin"] == origin
    assert told.headers["vary"] == "Origin"
    assert method in told.headers["access-control-allow-methods"]
    taken = names(told.headers["access-control-allow-headers"])
    assert {"authorization", "content-type", "idempotency-key", "last-event-id"} <= taken


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://play.example.evil.example"])
def test_other_pages_may_not(open_api: Api, origin: str) -> None:
    """The question is refused, in the envelope; an answer carries no field that would let them read it."""
    told = asked_before(open_api, "/v1/graph/invoke", "POST", origin)
    assert told.status_code == 403
    assert set(told.json()) == {"error", "metadata"}
    for answer in (told, httpx.get(f"{open_api.base_url}/ping", headers={"origin": origin})):
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"


def test_every_answer_can_be_read(open_api: Api) -> None:
    """Errors too, also those that no route gives, and a quota's refusals with their fields."""
    limited = open_api.tenant()
    with open_api.operator() as operator:
        limits = {"limits": {"requests_per_minute": 1, "burst": 1}}
        assert operator.patch(f"/v1/admin/tenants/{limited.tenant.slug}", json=limits).status_code == 200
    page = {"origin": PAGE}
    with open_api.client(limited) as client, open_api.client() as nobody:
        answers = [
            nobody.get("/ping", headers=page),
            nobody.get("/v1/threads", headers=page),
            nobody.get("/nothing", headers=page),
            nobody.put("/ping", headers=page),
            client.post("/v1/graph/invoke", json=say("hi"), headers=page),
            # The second one is answered by who remembers the first.
            client.post("/v1/graph/invoke", json=say("hi"), headers=page),
            client.post("/v1/graph/invoke", json=say("hi"), headers=page),
        ]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 405, 200, 429, 429]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == PAGE
        shown = names(answer.headers["access-control-expose-headers"])
        assert {"x-request-id", "retry-after", "ratelimit", "x-run-id"} <= shown
        assert answer.headers["x-request-id"]
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_nothing_is_said_where_none_is_let_in(api: Api) -> None:
    """As a deployment is without the setting."""
    answer = httpx.get(f"{api.base_url}/ping", headers={"origin": PAGE})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "origins", ["play.example", "https://play.example/", "https://a.example https://b.example"]
)
def test_an_origin_that_no_browser_would_name(origins: str) -> None:
    """Is refused at the start, rather than letting nobody in."""
    settings = {
        "AGENTFLOW_DATABASE_URL": "postgresql+asyncpg://u@localhost/d",
        "AGENTFLOW_REDIS_URL": "none",
        "AGENTFLOW_KEY_PEPPER": "x" * 32,
    }
    assert read_settings({**settings, "AGENTFLOW_CORS_ORIGINS": ORIGINS}).cors_origins[0] == PAGE
    with pytest.raises(SettingsError, match="AGENTFLOW_CORS_ORIGINS"):
        read_settings({**settings, "AGENTFLOW_CORS_ORIGINS": origins})
