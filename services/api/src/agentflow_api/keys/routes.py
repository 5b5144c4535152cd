"""`/v1/keys`: a tenant's own keys, for those of its keys that may administer them."""

from typing import Any

from litestar import Request, Response, Router

from agentflow_api.http import parameters
from agentflow_api.http.actors import actor_of_key
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.cursors import asked_cursor, cursor_after
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.routing import delete, get, post
from agentflow_api.keys.schemas import NewKey, Rotation
from agentflow_api.keys.service import Keyring, keyring_of
from agentflow_api.keys.views import key_view
from agentflow_api.wiring import Wiring
from agentflow_tenancy import KEYS_ADMIN, Principal


async def page_of(request: Request[Any, Any, Any], keyring: Keyring) -> Response[bytes]:
    """A page of keys, ended ones too."""
    _, _, limit = parameters.page(request)
    found = await keyring.page(asked_cursor(request), limit)
    following = cursor_after(found[-1].key_id) if len(found) == limit else None
    return success({"keys": [key_view(key) for key in found], "next_cursor": following})


async def asked_body(request: Request[Any, Any, Any], wiring: Wiring) -> Any:
    """The body; {} when there is none."""
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    return {} if data is None else data


@get("/")
async def list_keys(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The tenant's keys, without their secrets."""
    return await page_of(request, _keyring(request, principal, wiring))


@post("/", status_code=201)
async def create_key(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A new key; `data.api_key` is shown this once, and to the same request with its `Idempotency-Key`."""
    keyring = _keyring(request, principal, wiring)
    body = await asked_body(request, wiring)
    asked = validated(NewKey, body)

    async def work(effect: Effect) -> Response[bytes]:
        return success(await keyring.create(asked, effect.effect_id), "Created", status_code=201)

    return await once(request, principal, wiring, body, work, secret=keyring.secret)


@get("/{key_id:str}")
async def get_key(
    request: Request[Any, Any, Any], key_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """One key, without its secret."""
    return success(await _keyring(request, principal, wiring).get(key_id))


@post("/{key_id:str}/rotate", status_code=201)
async def rotate_key(
    request: Request[Any, Any, Any], key_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A new key with the same rights; the old one ends after `overlap_s`, a day if not said."""
    keyring = _keyring(request, principal, wiring)
    body = await asked_body(request, wiring)
    asked = validated(Rotation, body)

    async def work(effect: Effect) -> Response[bytes]:
        made = await keyring.rotate(key_id, asked.overlap_s, effect.effect_id)
        return success(made, "Rotated", status_code=201)

    return await once(request, principal, wiring, body, work, secret=keyring.secret)


@delete("/{key_id:str}", status_code=200)
async def revoke_key(
    request: Request[Any, Any, Any], key_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """End a key for good, on every replica within a second."""
    return success(await _keyring(request, principal, wiring).revoke(key_id), "Revoked")


def _keyring(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Keyring:
    principal.require(KEYS_ADMIN)
    actor = actor_of_key(request, principal)
    return keyring_of(wiring.keys, wiring.settings.key_pepper, principal, actor)


keys_router = Router("/v1/keys", route_handlers=[list_keys, create_key, get_key, rotate_key, revoke_key])
