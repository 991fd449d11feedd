"""People with roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.application import service_key
from tests.integration.auth.people import People

if TYPE_CHECKING:
    from uuid import UUID

    import httpx

    from tests.application import Served
    from tests.integration.auth.people import Person

PATH = "/platform/v1"
SERVICE = {"apikey": service_key()}


class Staff:
    """Gives roles over the wire, as the service or as somebody."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.people = People(served)

    async def call(
        self, method: str, path: str, body: Any = None, *, by: Person | dict[str, str] | None = None
    ) -> httpx.Response:
        headers = SERVICE if by is None else by if isinstance(by, dict) else by.bearer
        return await self.served.client.request(method, PATH + path, json=body, headers=headers)

    async def made(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.call("POST", path, body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def give(self, role: str, person: Person, **scope: Any) -> str:
        """Give a role and return the id of the assignment."""
        return str((await self.made("/role-assignments", role=role, user_id=str(person.id), **scope))["id"])

    async def hired(self, *roles: str) -> Person:
        """Return somebody new who has ``roles``."""
        person = await self.people.sign_up()
        for role in roles:
            await self.give(role, person)
        return person

    async def owners(self) -> list[UUID]:
        rows = await self.people.rows(
            "select user_id from monohull.role_assignments a join monohull.roles r on r.id = a.role_id"
            " where r.name = 'owner' and user_id is not null"
        )
        return [row["user_id"] for row in rows]

    async def events(self) -> list[str]:
        rows = await self.people.rows(
            "select name from monohull.outbox where name like 'rbac.%' order by position"
        )
        return [row["name"] for row in rows]
