"""Which agents a tenant may choose."""

from tests.support.api import Api


def test_a_tenant_is_told_its_own_agents(api: Api) -> None:
    """All of them, or those that the operator allows; others are not named."""
    with api.client(api.tenant()) as client:
        told = client.get("/v1/graph/agents").json()["data"]
    assert {"memory", "echo"} <= set(told["agents"])
    assert told["default_agent"] in told["agents"]
    with api.client(api.tenant(agents=("echo",), default_agent="echo")) as client:
        assert client.get("/v1/graph/agents").json()["data"] == {"agents": ["echo"], "default_agent": "echo"}
