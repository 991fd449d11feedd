"""Alert rules, runbooks and dashboards: current, complete, and about metrics that exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from monohull.cli import main as command
from monohull.kernel.core_metrics import CORE_METRICS
from monohull.kernel.metric import Metric, catalogue_of
from monohull.kernel.module import load_modules
from monohull.kernel.settings import BUILTIN_MODULES
from tools.observability.__main__ import FOLDER, files, stale
from tools.observability.alerts import ALERTS, RUNBOOKS
from tools.observability.dashboards import DASHBOARDS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
PROMETHEUS = FOLDER / "prometheus"
PAGES = sorted((ROOT / RUNBOOKS).glob("*.md"))
PLACEHOLDERS = {"JOB_ID": "019ac000-0000-7000-8000-000000000000"}
OTHERS = {"up", "ALERTS"}
"""What Prometheus itself gives."""


@pytest.fixture(scope="module")
def series() -> Mapping[str, Metric]:
    """The metric behind each name that a query may use."""
    modules = load_modules(BUILTIN_MODULES)
    catalogue = catalogue_of((*CORE_METRICS, *(metric for module in modules for metric in module.metrics)))
    return {name: metric for metric in catalogue.values() for name in metric.series}


def selectors(expression: str) -> list[tuple[str, list[str]]]:
    """Return each selector of a query: the metric's name, and the labels in its braces.

    >>> selectors('sum by (le) (rate(a_bucket{x="1",y!~"2"}[5m])) / b')
    [('a_bucket', ['x', 'y']), ('b', [])]
    """
    grouped = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", expression)
    found = []
    for match in re.finditer(r"(?<![\w$\"])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\()", grouped):
        name, braces = match.group(1), match.group(2) or ""
        if name in ("and", "or", "unless", "offset", "bool") or match.end() == match.start():
            continue
        inside = grouped[: match.start()]
        if inside.count("{") != inside.count("}") or inside.count("[") != inside.count("]"):
            continue
        if not re.match(r"\w*\s*\(", grouped[match.start() :]):
            found.append((name, re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces)))
    return found


def groupings(expression: str) -> set[str]:
    """Return the labels that a query groups by."""
    lists = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    return {label.strip() for one in lists for label in one.split(",")}


def wrong_names(expression: str, series: Mapping[str, Metric]) -> list[str]:
    """Return what a query names that is not in the catalogue: metrics, and labels that they do not have."""
    wrong = []
    known = {"le", "instance", "job"}
    for name, labels in selectors(expression):
        if name in OTHERS:
            continue
        if name not in series:
            wrong.append(name)
            continue
        wrong += [f"{name}{{{label}}}" for label in labels if label not in (*series[name].labels, "le")]
        known |= set(series[name].labels)
    return wrong + sorted(groupings(expression) - known)


def test_a_query_is_read() -> None:
    assert selectors('sum by (le) (rate(a_bucket{x="1",y!~"2"}[5m])) / b') == [
        ("a_bucket", ["x", "y"]),
        ("b", []),
    ]
    assert selectors("max(a unless a offset 15m) or vector(0)") == [("a", []), ("a", [])]


def test_a_query_of_what_is_not_there_is_found(series: Mapping[str, Metric]) -> None:
    assert wrong_names("sum(rate(monohull_http_request_total[5m]))", series) == [
        "monohull_http_request_total"
    ]
    assert wrong_names('monohull_workers{queue="x"}', series) == ["monohull_workers{queue}"]
    assert wrong_names("max by (queue) (monohull_workers)", series) == ["queue"]
    assert wrong_names("sum(monohull_http_request_duration_seconds)", series) != []


def test_the_files_are_current(tmp_path: Path) -> None:
    assert stale() == [], "run `make docs`"
    assert sorted(stale(tmp_path)) == sorted(files())


def test_rules_name_what_is_there(series: Mapping[str, Metric]) -> None:
    assert {alert.name: wrong for alert in ALERTS if (wrong := wrong_names(alert.expression, series))} == {}
    for alert in ALERTS:
        named = set(re.findall(r"\$labels\.(\w+)", alert.summary))
        assert named <= set(alert.labels), f"{alert.name} has no {named - set(alert.labels)}"


def test_dashboards_name_what_is_there_and_show_everything(series: Mapping[str, Metric]) -> None:
    shown = set()
    for _, panels in DASHBOARDS.values():
        for panel in panels:
            for legend, query in panel.queries.items():
                assert wrong_names(query, series) == [], f"{panel.title}: {query}"
                assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= groupings(query), (
                    f"{panel.title}: {legend}"
                )
                shown |= {series[name].name for name, _ in selectors(query)}
    assert {metric.name for metric in series.values()} - shown == set()


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_is_one_that_grafana_takes(name: str) -> None:
    found: dict[str, Any] = json.loads((FOLDER / "grafana" / f"{name}.json").read_text("utf-8"))
    assert found["uid"] == f"monohull-{name}"
    assert len(found["uid"]) <= 40
    assert isinstance(found["schemaVersion"], int)
    assert found["templating"]["list"][0]["type"] == "datasource"
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    taken = set()
    for panel in found["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert (place["x"], place["y"]) not in taken
        taken.add((place["x"], place["y"]))
        assert panel["targets"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert all(target["expr"] for target in panel["targets"])


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {page.stem for page in PAGES} == {alert.name for alert in ALERTS}
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text("utf-8"))["groups"][0]["rules"]
    for rule in rules:
        assert (ROOT / rule["annotations"]["runbook"]).is_file()
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_a_runbook_says_what_it_has_to() -> None:
    lacking = [
        (page.stem, part)
        for page in PAGES
        for part in (f"# {page.stem}\n", "## How to verify\n\n- ", "## What to do\n\n- ")
        if part not in page.read_text("utf-8")
    ]
    assert lacking == []


def spoken_commands() -> list[tuple[str, str]]:
    quoted = [
        (page.stem, " ".join(text.split()))
        for page in PAGES
        for text in re.findall(r"`(monohull [^`]+)`", page.read_text("utf-8"))
    ]
    return sorted(set(quoted))


def test_every_command_of_a_runbook_exists() -> None:
    assert len(spoken_commands()) > 20
    for page, text in spoken_commands():
        verb: click.Command = command
        words = [PLACEHOLDERS.get(word, word) for word in shlex.split(text)[1:]]
        while isinstance(verb, click.Group):
            found = verb.get_command(click.Context(verb), words[0])
            assert found is not None, f"{page}: there is no `{text}`"
            verb, words = found, words[1:]
        verb.make_context(verb.name or "", words)  # refuses options, choices and arguments that are none


def test_every_log_line_and_setting_of_a_runbook_exists() -> None:
    log = (ROOT / "docs/reference/log.md").read_text("utf-8")
    settings = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    for page in PAGES:
        text = page.read_text("utf-8")
        for event in re.findall(r"`([a-z_]+\.[a-z_]+)`", text):
            assert f"| `{event}` |" in log, f"{page.stem}: {event}"
        for variable in re.findall(r"`(MONOHULL_[A-Z_]+)`", text):
            assert f"`{variable}`" in settings, f"{page.stem}: {variable}"


@pytest.fixture(scope="module")
def promtool() -> str:
    if (found := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed (on Debian: apt-get install prometheus)")
    return found


def run(*arguments: str, folder: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_a_rule_that_never_or_always_fires_is_found(promtool: str, tmp_path: Path) -> None:
    """What `make observability-check` runs does fail."""
    shutil.copytree(PROMETHEUS / "tests", tmp_path / "tests")
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text("utf-8"))
    story = "tests/MonohullNoWorker.yml"
    for bound, code in (("== 0", 0), ("== 7", 1), (">= 0", 1)):
        for rule in rules["groups"][0]["rules"]:
            if rule["alert"] == "MonohullNoWorker":
                rule["expr"] = f"max(monohull_workers) {bound}"
        (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        assert run(promtool, "test", "rules", story, folder=tmp_path).returncode == code, bound
    (tmp_path / "rules.yml").write_text("groups: [{name: x, rules: [{alert: X, expr: 'sum('}]}]", "utf-8")
    assert run(promtool, "check", "rules", "rules.yml", folder=tmp_path).returncode != 0


def test_every_alert_has_its_stories() -> None:
    assert {path.stem for path in (PROMETHEUS / "tests").glob("*.yml")} == {alert.name for alert in ALERTS}
