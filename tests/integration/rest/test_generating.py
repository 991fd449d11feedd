"""``monohull gen`` against a database: what it refuses, and that it writes what the data API tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from modules.rest.cli import gen
from tests.integration.api_keys.test_cli import ENVIRON, Context
from tests.integration.rest.test_descriptions import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    return (TABLES,)


def call(connections: Connections, *arguments: str) -> Result:
    return CliRunner().invoke(gen, arguments, obj=Context(connections, ENVIRON))


def test_types_as_a_role_sees_them(connections: Connections, tmp_path: Path) -> None:
    file = tmp_path / "types.py"
    assert call(connections, "types", "--lang", "python", "--role", "anon", "-o", str(file)).exit_code == 0
    limited = file.read_text()
    assert "class GaugesInsert(TypedDict):\n" in limited
    assert "secret" not in limited
    assert "Closed" not in limited
    assert call(connections, "types", "--lang", "python", "-o", str(file)).exit_code == 0
    whole = file.read_text()
    assert 'Mood: TypeAlias = Literal["fine", "bad"]' in whole
    assert "    secret: NotRequired[str | None]\n" in whole
    assert "class Closed(TypedDict):" in whole
    assert "LouderReturns: TypeAlias = Gauges | None" in whole


def test_documents(connections: Connections, tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    assert call(connections, "openapi", "--role", "anon", "-o", str(file)).exit_code == 0
    paths = json.loads(file.read_text())["paths"]
    assert "/gauges" in paths
    assert "/closed" not in paths
    assert call(connections, "postman", "-o", str(file)).exit_code == 0
    assert "closed" in [folder["name"] for folder in json.loads(file.read_text())["item"]]


def test_what_is_refused(connections: Connections, tmp_path: Path) -> None:
    for arguments, text, code in (
        (("openapi", "--schema", "nowhere"), "There is no schema 'nowhere' in the database.", 1),
        (("types", "--lang", "python", "--role", "nobody"), "There is no database role 'nobody'.", 1),
        (("types", "--lang", "cobol"), "cobol", 2),
        (("types",), "--lang", 2),
        (("postman", "-o", str(tmp_path / "no" / "where.json")), "where.json", 1),
    ):
        done = call(connections, *arguments)
        assert (done.exit_code, text in done.output) == (code, True), done.output


def test_a_slow_database_is_waited_for(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server begins without the catalog after a while; a command would have nothing to write."""
    monkeypatch.setattr("modules.query.live.FIRST_READ_SECONDS", 0.0)
    done = call(connections, "types", "--lang", "python")
    assert (done.exit_code, "class Gauges(TypedDict):" in done.output) == (0, True), done.output
