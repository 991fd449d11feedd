"""``monohull status`` and the options of ``monohull up``."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

from monohull.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.up import Run

    Starter = Callable[..., Run]


def monohull(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


def status(run: Run, *arguments: str) -> Result:
    return monohull("status", "--home", str(run.home.path), *arguments)


async def test_what_runs_in_three_formats(tiny: Starter) -> None:
    run = tiny().ready()
    state = run.state()
    text = status(run)
    assert text.exit_code == 0
    assert f"process {run.pid}" in text.output
    assert str(state.url) in text.output
    for arguments in (("--json",), ("--format", "json")):
        document: dict[str, Any] = json.loads(status(run, *arguments).output)
        assert document["supervisor"] == {"pid": run.pid}
        assert document["postgres"]["running"] is True
        assert document["url"] == state.url
        assert run.home.secret("postgres_password") not in json.dumps(document)
    lines = status(run, "--format", "env").output.splitlines()
    values = dict(part.split("=", 1) for line in lines for part in shlex.split(line))
    assert list(values) == [
        "MONOHULL_URL", "ANON_KEY", "SERVICE_KEY", "JWT_SECRET", "DATABASE_URL", "REDIS_URL",
    ]  # fmt: skip
    assert values["JWT_SECRET"] == run.home.secret("jwt_secret")
    connection = await asyncpg.connect(values["DATABASE_URL"])
    assert await connection.fetchval("select usesuper from pg_user where usename = current_user")
    await connection.close()
    async with Redis.from_url(values["REDIS_URL"]) as client:
        assert await client.ping()


def test_services_of_others_and_no_api(tiny: Starter) -> None:
    run = tiny(
        MONOHULL_DATABASE_URL="postgresql://me@127.0.0.1:1/db", MONOHULL_REDIS_URL="redis://127.0.0.1:1/0"
    ).ready("--services-only")
    text = status(run).output
    assert "the configured server" in text
    assert "left to others" in text
    assert json.loads(status(run, "--json").output)["redis"] == {"embedded": False}


def test_nothing_runs(tmp_path: Path) -> None:
    result = monohull("status", "--home", str(tmp_path / "none"))
    assert result.exit_code == 3
    assert "nothing runs for" in result.output
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (("--example", "storefront", "--project", "/"), {}, "leave out --project"),
        (("--example", "nothing"), {}, "there is no example 'nothing'"),
        (("--example", "storefront"), {"MONOHULL_ENV": "production"}, "known passwords"),
        ((), {"MONOHULL_POOL_SIZE": "many"}, "MONOHULL_POOL_SIZE"),
        (("--port", "70000"), {}, "--port"),
    ],
)
def test_up_refuses_before_it_touches_anything(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str], message: str
) -> None:
    result = monohull("up", "--home", str(tmp_path / "home"), *arguments, **environ)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "home").exists()


def test_up_says_what_happens_in_the_format_of_the_logs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from monohull.cli.up import say  # noqa: PLC0415 (the command has the module's name)
    from monohull.kernel.supervisor import make_plan  # noqa: PLC0415 (beside it)

    for form in ("json", "console"):
        plan = make_plan({"MONOHULL_LOG_FORMAT": form}, directory=tmp_path, options={})
        say(plan, "redis ended")
    first, second = capfd.readouterr().err.splitlines()
    assert json.loads(first)["message"] == "redis ended"
    assert second == "monohull up: redis ended"
