"""``monohull migrate`` as people call it: what it prints, and its exit code for every way it can go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import asyncpg
import pytest
from click.testing import CliRunner

from monohull.cli.migrate import migrate
from monohull.kernel.home import with_login
from tests.application import JWT_SECRET
from tests.integration.database.cluster import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from click.testing import Result

PROJECT = (
    '[project]\nname = "shop"\n[[seed.users]]\nemail = "ada@example.com"\npassword = "analytical-engine"\n'
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "migrations").mkdir(parents=True)
    (folder / "monohull.toml").write_text(PROJECT)
    (folder / "migrations" / "0001_a.sql").write_text("create table public.a (id int);")
    (folder / "seed.sql").write_text("insert into public.a values (1);")
    return folder


def call(project: Path, url: str | None, *arguments: str, **environ: str) -> Result:
    variables = {"MONOHULL_ENV": "test", "MONOHULL_HOME": str(project.parent / "home")}
    if url is not None:
        variables |= {"MONOHULL_DATABASE_URL": url, "MONOHULL_JWT_SECRET": JWT_SECRET}
    return CliRunner().invoke(migrate, ["--project", str(project), *arguments], env=variables | environ)


def test_everything_once(project: Path, empty_url: str) -> None:
    first = call(project, empty_url, "--seed")
    assert first.exit_code == 0, first.output
    lines = first.stdout.splitlines()
    assert lines[0].startswith("platform  applied 0001: Roles, schemas")
    assert any(line.startswith("project   applied 0001_a.sql (") for line in lines)
    assert lines[-1].startswith("seed      loaded seed.sql (")
    second = call(project, empty_url, "--seed")
    assert (second.exit_code, second.stdout) == (0, "Nothing to do: the database is up to date.\n")


def test_a_dry_run_changes_nothing(project: Path, empty_url: str) -> None:
    for _ in range(2):
        shown = call(project, empty_url, "--dry-run", "--seed")
        assert shown.exit_code == 1
        assert "platform  would apply 0001: Roles, schemas" in shown.stdout
        assert "project   would apply 0001_a.sql\n" in shown.stdout
        assert "seed      would load seed.sql\n" in shown.stdout
    call(project, empty_url)
    assert call(project, empty_url, "--dry-run").exit_code == 0
    assert call(project, empty_url, "--dry-run", "--seed").exit_code == 1


def test_json(project: Path, empty_url: str) -> None:
    found = json.loads(call(project, empty_url, "--json").stdout)
    assert found["platform"][0]["id"] == "0001"
    assert [one["name"] for one in found["project"]] == ["0001_a.sql"]
    assert (found["seeds"], found["is_dry_run"]) == ([], False)


def test_a_failing_file(project: Path, empty_url: str) -> None:
    (project / "migrations" / "0002_b.sql").write_text("select nonsense;")
    result = call(project, empty_url)
    assert result.exit_code == 1
    assert "0002_b.sql, line 1, column 8" in result.stderr
    (project / "migrations" / "0002_b.sql").write_text("select 'x")
    result = call(project, empty_url, "--dry-run")
    assert (result.exit_code, "does not end" in result.stderr) == (1, True)


@pytest.fixture
async def newer_url(platform_database: str) -> str:
    connection = await asyncpg.connect(platform_database)
    await connection.execute("update monohull.platform_version set version_num = '9999'")
    await connection.close()
    return platform_database


def test_a_schema_newer_than_the_code(project: Path, newer_url: str) -> None:
    for arguments in ((), ("--dry-run",)):
        result = call(project, newer_url, *arguments)
        assert result.exit_code == 1
        assert "9999, which is newer than this code" in result.stderr


def test_a_database_that_is_not_reachable(project: Path, empty_url: str) -> None:
    for url, says in (
        ("postgresql://me:s3cret@127.0.0.1:1/d", "connection refused"),
        (with_login(empty_url, "monohull", "s3cret"), "password authentication failed"),
    ):
        for arguments in ((), ("--dry-run",)):
            result = call(project, url, *arguments)
            assert result.exit_code == 3
            assert says in result.stderr
            assert "s3cret" not in result.output


def test_nothing_is_configured_and_nothing_runs(project: Path) -> None:
    result = call(project, None)
    assert result.exit_code == 3
    assert "start `monohull up`, or set MONOHULL_DATABASE_URL" in result.stderr


@pytest.mark.parametrize(
    ("url", "says"),
    [("postgresql://h:x/d", "its port is not a number"), ("mysql://h/d", "postgresql://")],
)
def test_a_url_that_cannot_be_used(project: Path, url: str, says: str) -> None:
    result = call(project, url)
    assert result.exit_code == 2
    assert "MONOHULL_DATABASE_URL" in result.stderr
    assert says in result.stderr


def test_a_project_file_that_is_no_toml(project: Path, empty_url: str) -> None:
    (project / "monohull.toml").write_text("[project")
    result = call(project, empty_url)
    assert result.exit_code == 2
    assert "monohull.toml" in result.stderr


@pytest.fixture
async def guest_url(empty_url: str) -> AsyncIterator[str]:
    """A login that owns nothing and may make nothing."""
    connection = await asyncpg.connect(empty_url)
    await connection.execute(f"create role passing_guest login password '{PASSWORD}'")
    yield with_login(empty_url, "passing_guest", PASSWORD)
    await connection.execute("drop owned by passing_guest; drop role passing_guest")
    await connection.close()


def test_an_owner_that_may_do_nothing(project: Path, guest_url: str) -> None:
    for arguments in ((), ("--dry-run",)):
        result = call(project, guest_url, *arguments)
        assert result.exit_code == 1
        assert "let a superuser run this once, then repeat:\n    GRANT CREATE ON DATABASE" in result.stderr


def test_production_gets_no_user_with_a_known_password(project: Path, empty_url: str) -> None:
    strong = "kT7-qPz29_vWm4xLr8sYc1dFh6jNb3gE5uAo0iRt"
    environ = {"MONOHULL_ENV": "production", "MONOHULL_JWT_SECRET": strong}
    environ |= {"MONOHULL_PUBLIC_URL": "https://shop.example", "MONOHULL_REDIS_URL": "redis://127.0.0.1:1/0"}
    result = call(project, empty_url, "--seed", **environ)
    assert result.exit_code == 0, result.output
    assert "seed.sql" in result.stdout
    assert "[seed]" not in result.stdout
