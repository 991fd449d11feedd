"""``monohull init``."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

from click.testing import CliRunner

from monohull.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_project(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", str(tmp_path / "My Shop!"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["project"] == "my-shop"
    folder = tmp_path / "My Shop!"
    assert tomllib.loads((folder / "monohull.toml").read_text())["project"]["name"] == "my-shop"
    assert {path.name for path in folder.iterdir()} >= {"migrations", "functions", "modules", "tests"}
    assert "enable row level security" in (folder / "migrations" / "0001_notes.sql").read_text()


def test_an_existing_project_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "monohull.toml").write_text("# mine\n")
    result = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert result.exit_code == 2
    assert "is a project already" in result.stderr
    assert (tmp_path / "monohull.toml").read_text() == "# mine\n"


def test_files_that_exist_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    result = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert result.exit_code == 0
    assert (tmp_path / "README.md").read_text() == "mine"
    assert "  README.md" not in result.stdout.splitlines()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["init", str(tmp_path / "file" / "project")])
    assert result.exit_code == 2
    assert str(tmp_path / "file") in result.stderr
