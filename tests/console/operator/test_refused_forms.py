"""What an operator typed stays in the form that was refused, which says where it is wrong."""

import re

from tests.support.api import Api, TenantKey
from tests.support.console import Visitor


def field(page: str, name: str) -> str:
    """The tag of a field."""
    found = re.search(rf'<(?:input|select|textarea)[^>]* name="{re.escape(name)}"[^>]*>', page)
    assert found is not None, name
    return found[0]


def test_a_new_tenant(operator: Visitor, tenant: TenantKey) -> None:
    """Also where the slug is another's."""
    operator.see("/console/new-tenant")
    for slug, status in (("UPPER", 422), (tenant.tenant.slug, 409)):
        answer = operator.send("/console/new-tenant", slug=slug, name="Acme & Co", plan="free")
        assert answer.status_code == status
        assert f'value="{slug}"' in field(answer.text, "slug")
        assert 'aria-invalid="true"' in field(answer.text, "slug")
        assert 'value="Acme &amp; Co"' in field(answer.text, "name")
        assert "<option selected>free</option>" in answer.text
        assert 'role="alert" id="problem"' in answer.text


def test_limits(operator: Visitor, tenant: TenantKey) -> None:
    """Every field as it was, the one that is no number marked, in words too."""
    path = f"/console/tenants/{tenant.tenant.slug}/settings"
    operator.see(path)
    given = {"name": "kept", "plan": "free", "limit_threads": "many", "retention_days": "12"}
    answer = operator.send(path, **given)
    assert answer.status_code == 422
    assert "limit threads must be a whole number" in answer.text
    for name in ("name", "limit_threads", "retention_days"):
        assert f'value="{given[name]}"' in field(answer.text, name)
    assert 'aria-invalid="true"' in field(answer.text, "limit_threads")
    assert "aria-invalid" not in field(answer.text, "name")
    assert "<option selected>free</option>" in answer.text
    assert 'value="many"' not in operator.see(path)


def test_an_offboarding(operator: Visitor, tenant: TenantKey) -> None:
    """The grace and the archive that were chosen, beside the name that is not the tenant's."""
    path = f"/console/tenants/{tenant.tenant.slug}/offboarding"
    operator.see(path)
    answer = operator.send(path, confirm="another", grace_s="86400", export="on")
    assert answer.status_code == 422
    assert 'value="another"' in field(answer.text, "confirm")
    assert 'aria-invalid="true"' in field(answer.text, "confirm")
    assert '<option value="86400" selected>' in answer.text
    assert " checked" in field(answer.text, "export")


def test_a_key_of_no_rights(api: Api, operator: Visitor, tenant: TenantKey) -> None:
    """Nothing chosen is asked about: it is no key that may do everything."""
    path = f"/console/tenants/{tenant.tenant.slug}"
    operator.see(path)
    answer = operator.send(f"{path}/keys", name="of what?")
    assert answer.status_code == 422
    assert "Choose what the key may do." in answer.text
    assert 'value="of what?"' in field(answer.text, "name")
    assert 'aria-invalid="true"' in field(answer.text, "scope_threads:read")
    with api.client(tenant) as client:
        assert len(client.get("/v1/keys").json()["data"]["keys"]) == 1


def test_a_search(operator: Visitor) -> None:
    """The condition that cannot be met stays, and is marked; the others too."""
    page = operator.see("/console/tenants?placement=x&search=acme", status=422)
    assert 'value="x"' in field(page, "placement")
    assert 'aria-invalid="true"' in field(page, "placement")
    assert 'value="acme"' in field(page, "search")
