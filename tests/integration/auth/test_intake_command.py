"""``monohull auth import``: options, reports and exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from modules.auth.intake.cli import auth
from tests.integration.api_keys.test_cli import ENVIRON, Context

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections

TWO = '{"email": "a@example.com"}\n{"email": "no address"}\n'


def call(connections: Connections | None, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(
        auth, ["import", *arguments], input=stdin, obj=Context(connections, ENVIRON), catch_exceptions=False
    )


def report_of(result: Result) -> dict[str, object]:
    found: dict[str, object] = json.loads(result.stdout[result.stdout.index("{\n") :])
    return found


def test_codes_and_reports(connections: Connections, tmp_path: Path) -> None:
    source, refused = tmp_path / "users.jsonl", tmp_path / "refused.jsonl"
    source.write_text(TWO)
    dry = call(connections, "--from", "jsonl", str(source), "--dry-run")
    assert dry.exit_code == 1
    assert "2 users read" in dry.stdout
    assert "1 would be created, 0 were there already, 1 refused" in dry.stdout
    assert "line 2: no address: Unable to validate email address" in dry.stdout
    first = call(connections, "--from", "jsonl", str(source), "--json", "--refused", str(refused))
    assert first.exit_code == 1
    report = report_of(first)
    assert (report["created"], report["refused"], report["reasons"]) == (1, 1, {"validation_failed": 1})
    assert json.loads(refused.read_text())["where"] == "line 2"
    again = call(connections, "--from", "jsonl", "-", "--json", stdin=TWO.partition("\n")[0])
    assert (again.exit_code, report_of(again)["kept"]) == (0, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "csv", "no-such-file.csv"),
        ("--from", "oracle", "x"),
        ("x",),
        ("--from", "csv", "users.csv", "--hash-config", "users.csv"),
        ("--from", "jsonl", "users.csv", "--refused", "/proc/no/such/folder"),
        ("--from", "csv", "latin.csv"),
        ("--from", "gotrue", "no address"),
    ],
)
def test_wrong_usage(
    connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.csv").write_text("email\n")
    (tmp_path / "latin.csv").write_bytes("email\nä@example.com".encode("latin-1"))
    result = call(connections, *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


def test_a_database_that_is_away(connections: Connections) -> None:
    secret = "postgresql://nobody:the-password@127.0.0.1:1/nothing"
    result = call(connections, "--from", "gotrue", "-", stdin=f"{secret}\n")
    assert result.exit_code == 3, result.output
    assert "the-password" not in result.output
