"""Which tenants have a name in metrics, and for how long."""

from agentflow_telemetry import Metrics, TelemetrySettings
from agentflow_telemetry.named_tenants import OTHER, NamedTenants, chosen
from tests.support.spans import counting, families, lines, request, value

_FACTS = ("agentflow_tenant_id", "slug", "plan", "placement")
CALLS = "traces_span_metrics_calls_total"


def test_the_busiest_have_places() -> None:
    """As long as there is room whoever asks; then who is clearly busier than the least busy."""
    assert chosen([], {"a": 1.0, "b": 3.0, "c": 2.0}, 2) == ["b", "c"]
    assert chosen(["a"], {"a": 1.0, "b": 9.0}, 3) == ["a", "b"]
    assert chosen(["a", "b"], {"a": 10.0, "b": 9.0, "c": 18.0}, 2) == ["a", "b"], "a name is kept for long"
    assert chosen(["a", "b"], {"a": 10.0, "b": 9.0, "c": 19.0}, 2) == ["a", "c"]
    assert chosen(["a", "b"], {"c": 1.0}, 2) == ["a", "b"], "nobody is driven out by a single request"
    assert chosen(["a", "b"], {"a": 100.0, "c": 50.0, "d": 40.0}, 2) == ["a", "c"]
    assert chosen(["a"], {"a": 1.0}, 0) == []


def test_first_come_while_there_is_room() -> None:
    """Then only who was chosen has a name."""
    tenants = NamedTenants(2, 1)
    assert [tenants.name_of(name) for name in "abca"] == ["a", "b", OTHER, "a"]
    assert [tenants.timed_name_of(name) for name in "ab"] == ["a", OTHER]
    assert tenants.adopt(["c", "b"], 1)
    assert [tenants.name_of(name) for name in "abc"] == [OTHER, "b", "c"]
    assert [tenants.timed_name_of(name) for name in "bc"] == [OTHER, "c"]
    assert not tenants.adopt(["c", "b"], 2)
    assert tenants.adopt(["c"], 3)
    assert tenants.name_of("d") == "d"


def test_what_was_long_ago_counts_less() -> None:
    """Half at each choice, until it is forgotten."""
    tenants = NamedTenants(1, 1)
    for _ in range(4):
        tenants.count("a")
    counts = []
    for revision in range(1, 5):
        tenants.adopt(["a"], revision)
        counts.append(tenants.requests().get("a"))
    assert counts == [2.0, 1.0, 0.5, None]


async def test_a_tenant_that_lost_its_name_is_told_no_more() -> None:
    """Its series end, the new one's begin, and all others go on."""
    metrics = Metrics("s", settings=TelemetrySettings(most_tenants=1))
    with counting(metrics) as tracer:
        request(tracer, "early")
        assert value(families((await metrics.page()).text), CALLS, agentflow_tenant_id="early") == 2
        for _ in range(10):
            request(tracer, "busy")
        await metrics.page()
        request(tracer, "busy")
        request(tracer, "early")
    found = families((await metrics.page()).text)
    named = {line.labels["agentflow_tenant_id"]: line.value for line in lines(found, CALLS)}
    assert named.keys() == {"busy", OTHER}
    assert value(found, CALLS, agentflow_tenant_id="busy") == 2
    assert value(found, CALLS, agentflow_tenant_id=OTHER) == 22


async def test_names_beside_ids() -> None:
    """Of tenants that are named, and of those that somebody else tells of."""
    metrics = Metrics("s", settings=TelemetrySettings(most_tenants=1))
    with counting(metrics) as tracer:
        for tenant_id in ("1", "2"):
            metrics.facts.know(tenant_id, f"slug-{tenant_id}", "free", "pool")
            request(tracer, tenant_id)
    metrics.facts.tell_also({"3": ("slug-3", "team", "dedicated")})
    found = lines(families((await metrics.page()).text), "agentflow_tenant_info")
    told = [(*(line.labels[name] for name in _FACTS), line.value) for line in found]
    assert told == [("1", "slug-1", "free", "pool", 1), ("3", "slug-3", "team", "dedicated", 1)]
