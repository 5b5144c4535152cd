"""What a refused client is told of when to ask again."""

import pytest

from agentflow_api.http.quota_answers import details_of
from agentflow_api.http.rate_limit_fields import rate_limit_fields
from agentflow_tenancy import QuotaExceededError
from agentflow_tenancy.quotas import Decision


@pytest.mark.parametrize(("exact_s", "told_s"), [(0.003, 1), (1.0, 1), (1.2, 2), (3.0, 3), (60.0, 60)])
def test_one_moment_everywhere(exact_s: float, told_s: int) -> None:
    """The field, the detail and the text say the same whole seconds: not too early, and never 0."""
    error = QuotaExceededError(Decision(False, "requests", exact_s))
    [detail] = details_of(error)
    assert rate_limit_fields(error.decision)["Retry-After"] == str(told_s)
    assert detail["retry_after_s"] == told_s
    assert f"in {told_s} s " in str(error)
