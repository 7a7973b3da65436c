"""The alert rules and dashboards: they are sound, and all they name exists."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from metseg_serving.metrics import Entrypoint, Figures
from metseg_serving.refusal import invalid

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = MONITORING / "rules" / "metseg.yml"
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
NAME = r"(?:metseg_\w+|:tensorflow[\w:]+)"
SELECTOR = re.compile(rf"(?<![\w:])({NAME}|up)(?:\{{([^}}]*)\}})?")
OF_PROMETHEUS = {"job", "instance", "le"}


def alerts() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> Iterator[dict]:
    for file in DASHBOARDS:
        yield from json.loads(file.read_text())["panels"]


def expressions() -> list[str]:
    return [rule["expr"] for rule in alerts()] + [
        target["expr"] for panel in panels() for target in panel["targets"]
    ]


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool here, so the rules are not run (Debian's package prometheus has it)")
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_rules_and_configuration():
    promtool("check", "rules", str(RULES))
    promtool("check", "config", "--syntax-only", str(MONITORING / "prometheus.yml"))


def test_every_alert_sees_what_it_must_and_nothing_else():
    promtool("test", "rules", "tests/monitoring/rules_test.yml")


def test_every_alert_has_a_test_and_says_what_to_do():
    tested = (ROOT / "tests" / "monitoring" / "rules_test.yml").read_text()
    guide = (ROOT / "docs" / "operations.md").read_text()
    for rule in alerts():
        assert tested.count(f"alertname: {rule['alert']}") >= 2, f"{rule['alert']}: once silent, once not"
        assert f"| `{rule['alert']}` |" in guide, f"{rule['alert']}: a line in docs/operations.md"
        assert rule["labels"]["severity"] in ("page", "ticket")


def samples(text: str) -> dict[str, set[str]]:
    """The labels of each metric of a page, by its name."""
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(rf"(?m)^({NAME})(?:\{{(.*)\}})? ", text):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


@pytest.fixture
def serving_page() -> str:
    figures = Figures()
    with figures.request("m", Entrypoint.GRPC):
        figures.run("m", lambda: None)
    with pytest.raises(Exception, match="no"), figures.request("m", Entrypoint.GRPC):
        raise invalid("no")
    figures.loaded("/models/m/1", 1.0, succeeded=True)
    return figures.page()


def test_every_metric_and_label_that_is_named_exists(api_page, serving_page):
    known = samples(api_page) | samples(serving_page) | {"up": set()}
    named = 0
    for expression in expressions():
        found = SELECTOR.findall(expression)
        assert found, expression
        for name, inside in found:
            named += 1
            assert name in known, f"{name} in {expression}"
            for label in re.findall(r"(\w+)\s*[=!]~?", inside):
                assert label in known[name] | OF_PROMETHEUS, f"{label} of {name} in {expression}"
    assert named > len(alerts()) + len(list(panels()))


def test_labels_that_are_grouped_by_exist(api_page, serving_page):
    known = {label for labels in (samples(api_page) | samples(serving_page)).values() for label in labels}
    for expression in expressions():
        for group in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= known | OF_PROMETHEUS, expression


def test_dashboards_are_provisioned_and_fit_on_their_page():
    assert [file.stem for file in DASHBOARDS] == ["metseg-api", "metseg-queue", "metseg-serving", "metseg-workers"]
    source = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())
    for file in DASHBOARDS:
        dashboard = json.loads(file.read_text())
        assert dashboard["uid"] == file.stem
        cells = [
            (x, y)
            for place in (panel["gridPos"] for panel in dashboard["panels"])
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(set(cells)) == len(cells), "panels overlap"
        assert max(x for x, _ in cells) < 24
        assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["datasources"][0]["uid"]}
        assert all(panel["description"] for panel in dashboard["panels"])
