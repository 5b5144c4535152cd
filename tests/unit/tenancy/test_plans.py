"""Plans and their overrides."""

import pytest

from agentflow_tenancy import PLANS, InvalidLimitsError, Limits, limits_of


def test_a_key_overrides_its_tenant_and_that_the_plan() -> None:
    """The innermost limit that is set holds; zero is a limit, null is none."""
    tenant = Limits.parse({"threads": 7, "concurrent_runs": 0, "tokens_per_day": None})
    limits = limits_of("free", tenant, Limits(threads=3))
    assert limits.threads == 3
    assert limits.concurrent_runs == 0
    assert limits.tokens_per_day == PLANS["free"].tokens_per_day
    assert tenant.as_json() == {"threads": 7, "concurrent_runs": 0}


@pytest.mark.parametrize(
    "values", [{"thread": 1}, {"threads": -1}, {"threads": True}, {"threads": 10**16}, {"threads": "1"}]
)
def test_what_is_no_limit_is_refused_by_name(values: dict[str, object]) -> None:
    """The error names the limit."""
    with pytest.raises(InvalidLimitsError, match="thread"):
        Limits.parse(values)


def test_an_unknown_plan_is_refused() -> None:
    """The error names the plans there are."""
    with pytest.raises(InvalidLimitsError, match="enterprise"):
        limits_of("gold")
