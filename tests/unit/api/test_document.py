"""The OpenAPI document, without a server: whole, valid, and true to its own examples."""

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
from litestar.exceptions.base_exceptions import LitestarDeprecationWarning
from openapi_spec_validator import OpenAPIV31SpecValidator

from agentflow_api.app import create_app
from agentflow_api.settings import Settings

METHODS = ("get", "post", "put", "patch", "delete")
KEY_SETS = {"/.well-known/jwks.json", "/.well-known/receipts-jwks.json"}
PUBLIC = {"/downloads", "/ping", "/health/ready", "/receipts/{receipt_id}", *KEY_SETS}
# What has nothing behind it in any deployment yet has no good answer.
UNAVAILABLE = "not configured"
# POSTs that a repeated request does no harm to, and why.
WITHOUT_EFFECT = {
    "/v1/imports": "the same archive is the same import",
    "/v1/admin/tenants/{named}/imports": "the same archive is the same import",
    "/v1/exports/{export_id}/link": "nothing is kept of it",
    "/v1/admin/tenants/{named}/exports/{export_id}/link": "nothing is kept of it",
    "/v1/threads/search": "it only reads",
    "/v1/tokens": "a token is stored nowhere, and ends by itself within minutes",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    with warnings.catch_warnings():
        # Of the framework's next major version; a server's log is where they belong.
        warnings.simplefilter("ignore", LitestarDeprecationWarning)
        app = create_app(Settings("postgresql+asyncpg://x", None, b"x" * 32))

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get("/openapi.json")

    answer = asyncio.run(asked())
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, of in document["paths"].items():
        for method, operation in of.items():
            assert method in METHODS
            yield method, path, operation


def resolved(document: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in item:
        return item
    found: Any = document
    for step in item["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(document, found)


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body and answer, with where it stands."""
    for method, path, operation in operations(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        answers = [resolved(document, answer) for answer in operation["responses"].values()]
        for item in (*bodies, *answers):
            for media, content in item["content"].items():
                yield f"{method} {path} {media}", content


def test_it_is_valid(document: dict[str, Any]) -> None:
    """OpenAPI 3.1, by the specification's own schema."""
    assert document["openapi"].startswith("3.1.")
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    """Unique, and such that a generated client's methods can be called so."""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) > 60
    assert all(name.isidentifier() and not name.startswith("_") for name in names)


def test_every_effect_can_be_asked_for_once(document: dict[str, Any]) -> None:
    """Each POST takes an `Idempotency-Key` and says how it refuses one; others say why not."""
    posts = {path: operation for method, path, operation in operations(document) if method == "post"}
    without = set()
    for path, operation in posts.items():
        if operation["tags"] == [UNAVAILABLE]:
            continue
        named = {parameter["name"] for parameter in operation["parameters"]}
        if "Idempotency-Key" not in named:
            without.add(path)
            continue
        assert {"409", "422"} <= operation["responses"].keys(), path
    assert without == WITHOUT_EFFECT.keys()


def test_operations_say_what_they_are(document: dict[str, Any]) -> None:
    """Summary, description, a tag that the document explains."""
    tags = {tag["name"] for tag in document["tags"]}
    used = set()
    for _, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert set(operation["tags"]) <= tags
        used |= set(operation["tags"])
    assert used == tags


def test_operations_say_which_credential(document: dict[str, Any]) -> None:
    """The operator's, a tenant's, or none; each a bearer's, and what each answers without it."""
    schemes = document["components"]["securitySchemes"]
    assert all(one["type"] == "http" and one["scheme"] == "bearer" for one in schemes.values())
    for _, path, operation in operations(document):
        if path in PUBLIC:
            assert operation["security"] == []
            continue
        wanted = "operator" if path.startswith("/v1/admin/") else "tenant"
        assert operation["security"] == [{wanted: []}]
        assert {"400", "401", "403", "503"} <= operation["responses"].keys(), path
        assert ("429" in operation["responses"]) == (wanted == "tenant"), path


def test_parameters_are_all_there(document: dict[str, Any]) -> None:
    """Those of the path; each with a type, its limits, words and an example that fits them."""
    for method, path, operation in operations(document):
        parameters = operation["parameters"]
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == {step[1:-1] for step in path.split("/") if step.startswith("{")}
        for parameter in parameters:
            schema = parameter["schema"]
            assert schema["type"] in ("string", "integer"), (method, path)
            bounded = {"maximum", "maxLength", "enum", "format", "pattern", "minLength"} & schema.keys()
            assert bounded or parameter["name"] in ("from", "to", "plan", "tenant"), parameter["name"]
            assert parameter["description"]
            jsonschema_rs.validator_for(schema).validate(parameter["example"])
        if parameters:
            assert "422" in operation["responses"], (method, path)
        if in_path and operation["tags"] != [UNAVAILABLE]:
            assert "404" in operation["responses"], (method, path)


def test_what_takes_a_body_says_which(document: dict[str, Any]) -> None:
    """A schema, an example, and what a bad one is answered."""
    without = {
        f"{method} {path}"
        for method, path, operation in operations(document)
        if method in ("post", "put", "patch")
        and operation["tags"] != [UNAVAILABLE]
        and "requestBody" not in operation
    }
    assert without == {
        "post /v1/admin/tenants/{named}/suspend",
        "post /v1/admin/tenants/{named}/resume",
        "post /v1/admin/operations/{operation_id}/cancel",
        "post /v1/admin/offboardings/{offboarding_id}/cancel",
        "post /v1/admin/offboardings/{offboarding_id}/skip-grace",
        "post /v1/tenant/offboarding/cancel",
        "post /v1/admin/signing-keys/rotate",
    }
    for method, path, operation in operations(document):
        if "requestBody" in operation:
            assert {"413", "415", "422"} <= operation["responses"].keys(), (method, path)


def _unions(schema: Any) -> Iterator[dict[str, Any]]:
    """The unions anywhere inside whose parts are told apart by a word."""
    if isinstance(schema, dict) and "discriminator" in schema:
        yield schema
    for item in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _unions(item)


def test_generators_find_a_class_for_each_schema(document: dict[str, Any]) -> None:
    """They name it by the title, and choose by a word that is there; a body or null they cannot leave out."""
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        for item in _unions(schema):
            for option in item["oneOf"]:
                named = resolved(document, option)
                assert item["discriminator"]["propertyName"] in named["required"], name
    titles = [schema.get("title", name) for name, schema in schemas.items()]
    assert sorted(titles) == sorted(schemas)
    for method, path, operation in operations(document):
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]
            if content.keys() == {"application/x-tar"}:
                continue
            schema = content["application/json"]["schema"]
            assert resolved(document, schema)["type"] == "object", (method, path)


def test_good_answers_are_described(document: dict[str, Any]) -> None:
    """One at least; in the envelope, but for streams and the key set."""
    for method, path, operation in operations(document):
        good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        assert bool(good) != (operation["tags"] == [UNAVAILABLE]), (method, path)
        for answer in good:
            for media, content in answer["content"].items():
                schema = resolved(document, content["schema"])
                if media == "application/json" and path not in KEY_SETS:
                    assert schema["required"] == ["data", "metadata"], (method, path)


def test_streams_say_their_form(document: dict[str, Any]) -> None:
    """A JSON object a line, or server-sent events; each a chunk."""
    streams = {
        path: set(operation["responses"]["200"]["content"])
        for _, path, operation in operations(document)
        if path.endswith("/stream")
    }
    lines, events = "application/x-ndjson", "text/event-stream"
    assert streams == {
        "/v1/graph/stream": {lines, events},
        "/v1/threads/{thread_id}/runs/stream": {events},
        "/v1/threads/{thread_id}/runs/{run_id}/stream": {lines, events},
    }


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    """Each body and each answer has one."""
    components = {"components": document["components"]}
    tried = 0
    for where, content in contents(document):
        validator = jsonschema_rs.Draft202012Validator({**content["schema"], **components})
        errors = [error.message for error in validator.iter_errors(content["example"])]
        assert not errors, (where, errors)
        tried += 1
    assert tried > 300


def test_errors_are_in_the_envelope(document: dict[str, Any]) -> None:
    """Each status has the same form."""
    for answer in document["components"]["responses"].values():
        assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
