"""``monohull teams`` and ``monohull tenant protect --apply``, against a database."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from modules.teams.cli import teams
from modules.teams.tenant_cli import tenant
from tests.application import running_app
from tests.integration.api_keys.test_cli import ENVIRON, Context, printed
from tests.integration.auth.people import People

if TYPE_CHECKING:
    import click

    from monohull.kernel.home import Connections


@pytest.fixture
def there(connections: Connections) -> Connections:
    """Not async: each command runs a loop of its own."""
    return connections


def call(connections: Connections, group: click.Group, *arguments: str) -> Result:
    return CliRunner().invoke(group, arguments, obj=Context(connections, ENVIRON))


def test_teams_from_the_command_line(there: Connections) -> None:
    async def sign_up() -> list[str]:
        async with running_app(there) as served:
            await People(served).execute("create table public.orders (id int)")
            return [(await People(served).sign_up()).email for _ in range(2)]

    ada, grace = asyncio.run(sign_up())

    def shown(*arguments: str) -> Any:
        result = call(there, teams, *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(printed(result))

    def refused(*arguments: str) -> str:
        result = call(there, teams, *arguments)
        assert result.exit_code == 1, result.output
        return result.stderr

    made = shown("create", "Rowers", "--slug", "rowers", "--owner", ada)
    assert (made["name"], made["roles"]) == ("Rowers", [])
    assert shown("list") == [made]
    assert call(there, teams, "create", "Rowers", "--slug", "No", "--owner", ada).exit_code == 2
    assert "slug" in refused("create", "Rowers", "--slug", "rowers", "--owner", ada)
    assert "as admin" in printed(call(there, teams, "add", "rowers", grace, "--role", "admin"))
    assert {m["email"]: m["roles"] for m in shown("members", "rowers")} == {ada: ["owner"], grace: ["admin"]}
    assert grace in printed(call(there, teams, "members", made["id"]))
    assert "last owner" in refused("remove", "rowers", ada)
    assert "no more" in printed(call(there, teams, "remove", "rowers", grace))

    for _ in range(2):
        applied = call(there, tenant, "protect", "orders", "--apply")
        assert applied.exit_code == 0, applied.output
        assert "is protected" in applied.stderr
    missing = call(there, tenant, "protect", "missing", "--apply")
    assert (missing.exit_code, '"public.missing" does not exist' in missing.stderr) == (1, True)

    assert call(there, teams, "delete", "rowers").exit_code == 0
    assert "No team" in refused("members", "rowers")
