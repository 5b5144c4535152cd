"""What promtool says of the rules and the configuration."""

import yaml

from tests.support.dashboards import alerts
from tests.support.prometheus import SHIPPED, promtool


def test_rules_and_configuration_are_valid() -> None:
    """Nothing is wrong with either."""
    promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")


def test_alerts_fire_when_they_should() -> None:
    """On made-up series: each fires on what it is for, and none on a service that is well."""
    promtool("test", "rules", "alerts_test.yml")
    expected: dict[str, set[bool]] = {}
    for test in yaml.safe_load((SHIPPED / "alerts_test.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            expected.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert expected == {alert["alert"]: {True, False} for alert in alerts()}
