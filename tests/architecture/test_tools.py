"""The parts of the tools that decide something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import conformance
from tools.conformance import Outcome, translate, written
from tools.contract import Tally, judge, read_report, unlisted

if TYPE_CHECKING:
    from pathlib import Path

OUTCOMES = [Outcome("a", "passed"), Outcome("b", "failed"), Outcome("c", "failed"), Outcome("d", "skipped")]


def test_a_case_that_passed_before_must_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(OUTCOMES, {"a", "b"}) == Tally(1, 1, 2)
    assert capsys.readouterr().out == "this case passed before: b\n"


def test_a_case_that_passes_must_be_on_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(conformance, "PASSING", tmp_path / "contract" / "passing.txt")
    assert unlisted(OUTCOMES, conformance.read_passing()) == ["a"]
    assert capsys.readouterr().out == "this case passes now, add it with --record: a\n"
    conformance.record_passing([Outcome("b", "passed"), Outcome("a", "failed")])
    conformance.record_passing(OUTCOMES)
    assert conformance.PASSING.read_text(encoding="utf-8") == "a\nb\n"
    assert unlisted(OUTCOMES, conformance.read_passing()) == []
    assert unlisted(OUTCOMES, None) == []
    assert capsys.readouterr().out == ""


def test_named_cases_are_all_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(OUTCOMES, None) == Tally(1, 2, 1)
    assert capsys.readouterr().out == "this case failed: b\nthis case failed: c\n"


def test_an_unmarked_case_is_skipped_where_the_server_cannot_pass_it() -> None:
    results = [{"id": case, "outcome": "failed"} for case in ("x", *conformance.UNMARKED)]
    results.append({"id": "y", "outcome": "setup_failed"})
    everything = frozenset(conformance.PROBES)
    assert judge(conformance.judged(results, everything), None) == Tally(0, 1, len(conformance.UNMARKED))
    assert judge(conformance.judged(results, frozenset()), None) == Tally(0, 1 + len(conformance.UNMARKED), 0)


def test_the_last_line_has_the_promised_form() -> None:
    assert str(Tally(1, 2, 3) + Tally(1, 0, 0)) == "2 passed, 2 failed, 3 skipped"


def test_a_report_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite tests="7" failures="1" errors="2" skipped="1"/></testsuites>',
        encoding="utf-8",
    )
    assert read_report(report) == Tally(3, 3, 1)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("db-schemas", "MONOHULL_REST_SCHEMAS"),
        ("db-aggregates-enabled", "MONOHULL_REST_AGGREGATES_ENABLED"),
        ("server-timing-enabled", "MONOHULL_REST_SERVER_TIMING_ENABLED"),
        ("app.settings.app_host", "MONOHULL_REST_APP_SETTINGS_APP_HOST"),
        ("jwt-aud", "MONOHULL_JWT_AUD"),
        ("jwt-secret", "MONOHULL_JWT_SECRET"),
    ],
)
def test_settings_are_translated(name: str, variable: str) -> None:
    assert translate(name) == variable


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (["a", "b"], "a,b"), (None, ""), (2, "2"), ("", "")]
)
def test_values_are_written_as_the_environment_has_them(value: object, text: str) -> None:
    assert written(value) == text


def test_recording_forgets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "PASSING", tmp_path / "contract" / "passing.txt")
    assert conformance.read_passing() == set()
    conformance.record_passing([Outcome("old", "passed")])
    conformance.record_passing(OUTCOMES)
    assert conformance.read_passing() == {"old", "a"}
