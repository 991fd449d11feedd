from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.database.apply import check
from monohull.kernel.database.errors import MigrationRefused
from monohull.kernel.database.project import (
    Applied,
    ProjectFile,
    discover,
    discover_seeds,
    plan,
    plan_seeds,
    project_name,
)

if TYPE_CHECKING:
    from pathlib import Path

THEN = datetime(2026, 1, 2, tzinfo=UTC)


def written(project: Path, *names: str, text: str | bytes = "select 1;") -> Path:
    for name in names:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return project


def applied(file: ProjectFile, checksum: str | None = None) -> Applied:
    return Applied(file.name, file.version, checksum or file.checksum, THEN)


def refusal(project: Path) -> str:
    with pytest.raises(MigrationRefused) as caught:
        discover(project)
    assert caught.value.exit_code == 1
    return str(caught.value)


def test_no_folder_is_no_migrations(tmp_path: Path) -> None:
    assert discover(tmp_path) == ()


def test_files_in_order_and_strangers_ignored(tmp_path: Path) -> None:
    written(
        tmp_path,
        "migrations/20240101120000_second.sql",
        "migrations/0002_b.sql",
        "migrations/0001_a-b.c.sql",
        "migrations/README.md",
        "migrations/later/0003_c.sql",
    )
    found = discover(tmp_path)
    assert [file.name for file in found] == ["0001_a-b.c.sql", "0002_b.sql", "20240101120000_second.sql"]
    assert [file.version for file in found] == [1, 2, 20240101120000]


@pytest.mark.parametrize(
    "name", ["1_a.sql", "a.sql", "00001_a.sql", "0001.sql", "0001_.sql", "0001-a.sql", "0001_a.SQL"]
)
def test_a_badly_named_file_is_refused(tmp_path: Path, name: str) -> None:
    said = refusal(written(tmp_path, f"migrations/{name}"))
    assert name in said
    assert "rename it" in said


def test_two_files_of_one_number(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, "migrations/0001_a.sql", "migrations/0001_b.sql"))
    assert "0001_a.sql and 0001_b.sql have the same number" in said


def test_a_number_left_out(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, "migrations/0001_a.sql", "migrations/0003_c.sql"))
    assert "0002 is missing between 0001_a.sql and 0003_c.sql" in said


def test_timestamps_have_no_gaps(tmp_path: Path) -> None:
    assert (
        len(discover(written(tmp_path, "migrations/20240101000000_a.sql", "migrations/20250101000000_b.sql")))
        == 2
    )


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    written(tmp_path, "migrations/x.sql", "migrations/0001_a.sql", "migrations/0003_c.sql")
    written(tmp_path, "migrations/0004_d.sql", text=b"\xff")
    written(tmp_path, "migrations/0005_e.sql", text="select '\0'")
    assert len(refusal(tmp_path).splitlines()) == 4


def test_line_ends_and_byte_order_mark_are_no_change(tmp_path: Path) -> None:
    plain = discover(written(tmp_path / "a", "migrations/0001_a.sql", text="select 1;\nselect 2;\n"))
    other = discover(
        written(tmp_path / "b", "migrations/0001_a.sql", text=b"\xef\xbb\xbfselect 1;\r\nselect 2;\r\n")
    )
    assert plain == other


def test_what_is_pending(tmp_path: Path) -> None:
    files = discover(
        written(tmp_path, "migrations/0001_a.sql", "migrations/0002_b.sql", "migrations/0003_c.sql")
    )
    assert plan(files, []) == files
    assert plan(files, [applied(files[0])]) == files[1:]
    assert plan(files, [applied(file) for file in files]) == ()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    files = discover(written(tmp_path, "migrations/0001_a.sql"))
    with pytest.raises(
        MigrationRefused, match="changed after it had been applied on 2026-01-02; put the old text back"
    ):
        plan(files, [applied(files[0], "0" * 64)])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    files = discover(written(tmp_path, "migrations/0001_a.sql", "migrations/0002_b.sql"))
    with pytest.raises(MigrationRefused, match=r"0002_b.sql was applied on 2026-01-02 and is missing"):
        plan(files[:1], [applied(file) for file in files])


def test_a_file_below_an_applied_one_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "migrations/20240101000000_a.sql", "migrations/20240201000000_b.sql")
    files = discover(tmp_path)
    with pytest.raises(MigrationRefused, match="give it a number above 20240201000000"):
        plan(files, [applied(files[1])])


def test_seeds_run_once_whatever_became_of_them(tmp_path: Path) -> None:
    seeds = discover_seeds(written(tmp_path, "seed.sql", "seed/b.sql", "seed/a.sql"))
    assert [seed.name for seed in seeds] == ["seed.sql", "seed/a.sql", "seed/b.sql"]
    assert plan_seeds(seeds, [applied(seeds[0], "0" * 64)]) == seeds[1:]
    assert discover_seeds(tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("text", "transactional"),
    [
        ("select 1;", True),
        ("-- monohull: no-transaction\nselect 1;", False),
        ("-- Index.\n\n--  MONOHULL:no-transaction  \nselect 1;", False),
        ("select 1;\n-- monohull: no-transaction\n", True),
        ("-- about monohull: no-transaction and so on\nselect 1;", True),
        ("", True),
    ],
)
def test_the_opt_out_line(text: str, transactional: bool) -> None:
    assert ProjectFile("0001_a.sql", 1, text, "").is_transactional is transactional


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("select 1;\ncommit;\nselect 2;", "line 2, column 1: the file is a transaction already"),
        ("\\restrict abc\nselect 1;", "line 1, column 1: this is a command of psql"),
        ("copy t from stdin;\n1\n\\.\n", "line 1, column 1: COPY … FROM STDIN has no input here"),
        ("select 1;\n select 'x", "line 2, column 9: a string begins here and does not end"),
    ],
)
def test_what_cannot_work_is_refused_before_it_runs(text: str, says: str) -> None:
    with pytest.raises(MigrationRefused) as caught:
        check(ProjectFile("0001_a.sql", 1, text, ""))
    assert says in str(caught.value)
    assert "^" in str(caught.value)


def test_a_file_that_wraps_itself_is_understood() -> None:
    wrapped = ProjectFile("0001_a.sql", 1, "BEGIN;\nselect 1;\nCOMMIT;\n", "")
    assert [statement.text for statement in check(wrapped)] == ["select 1"]


def test_without_a_transaction_a_file_may_have_its_own() -> None:
    own = ProjectFile(
        "0001_a.sql", 1, "-- monohull: no-transaction\nbegin;\nselect 1;\ncommit;\nselect 2;", ""
    )
    assert len(check(own)) == 4


def test_project_names() -> None:
    assert project_name({}) == "default"
    assert project_name({"project": {"name": "shop"}}) == "shop"
    for wrong in ({"project": {"name": " "}}, {"project": {"name": 3}}, {"project": "shop"}):
        with pytest.raises(MigrationRefused, match="is not a text"):
            project_name(wrong)
