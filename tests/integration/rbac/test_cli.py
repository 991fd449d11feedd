"""``monohull roles``: the way to the first owner."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from modules.rbac.cli import roles
from tests.application import running_app
from tests.integration.api_keys.test_cli import ENVIRON, Context, printed
from tests.integration.rbac.staff import Staff
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from tests.integration.auth.people import Person


def call(connections: Connections, *arguments: str) -> Result:
    return CliRunner().invoke(roles, arguments, obj=Context(connections, ENVIRON))


def shown(connections: Connections, *arguments: str) -> Any:
    result = call(connections, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(printed(result))


@pytest.fixture
def there(connections: Connections) -> Connections:
    """Not async: each command runs a loop of its own."""
    return connections


@pytest.fixture
def person(there: Connections) -> Person:
    async def sign_up() -> Person:
        async with running_app(there) as served:
            return await Staff(served).people.sign_up()

    return asyncio.run(sign_up())


def test_the_first_owner(there: Connections, person: Person) -> None:
    given = shown(there, "assign", "owner", "--user", person.email.upper())
    assert (given["role"], given["user_id"]) == ("owner", str(person.id))
    assert shown(there, "list", "--assigned") == [given]
    assert f"user {person.id}" in printed(call(there, "list", "--assigned"))
    again = call(there, "assign", "owner", "--user", str(person.id))
    assert (again.exit_code, "assigned there already" in again.output) == (1, True)
    last = call(there, "revoke", "owner", "--user", str(person.id))
    assert (last.exit_code, "last owner" in last.output) == (1, True)


def test_a_running_server_hears_of_it(there: Connections, person: Person) -> None:
    async def statuses() -> list[int]:
        async with running_app(there) as served:
            staff = Staff(served)
            found = [(await staff.call("GET", "/status", by=person)).status_code]
            for verb, status in (("assign", 200), ("revoke", 403)):
                result = await asyncio.to_thread(call, there, verb, "viewer", "--user", str(person.id))
                assert result.exit_code == 0, result.output
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while (await staff.call("GET", "/status", by=person)).status_code != status:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                found.append(status)
            return found

    assert asyncio.run(statuses()) == [403, 200, 403]


def test_roles_are_made_and_listed(there: Connections) -> None:
    made = shown(there, "create", "support", "--permission", "data.orders:read", "--summary", "Helps")
    assert (made["name"], made["permissions"]) == ("support", ["data.orders:read"])
    assert [role["name"] for role in shown(there, "list", "--permission", "data.orders:read")] == [
        "admin",
        "developer",
        "owner",
        "support",
    ]
    assert "support" in printed(call(there, "list"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("assign", "owner"), 2),
        (("assign", "owner", "--user", "a", "--group", "b"), 2),
        (("create", "Not A Name"), 2),
        (("assign", "owner", "--user", "nobody@example.com"), 1),
        (("assign", "nothing", "--key", str(uuid4())), 1),
        (("revoke", "owner", "--key", str(uuid4())), 1),
        (("assign", "owner", "--group", "none"), 1),
        (("create", "x", "--permission", "no.such:thing"), 1),
    ],
    ids=["nobody", "two", "name", "user", "role", "not given", "group", "permission"],
)
def test_what_is_refused(there: Connections, arguments: tuple[str, ...], code: int) -> None:
    result = call(there, *arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
