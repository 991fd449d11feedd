"""Teams and their members, made over the wire."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.integration.rbac.staff import Staff

if TYPE_CHECKING:
    from tests.integration.auth.people import Person


class Clubs(Staff):
    """Makes teams, puts people into them and looks at what is stored."""

    async def team(self, owner: Person, **body: Any) -> str:
        """Return the id of a new team of ``owner``."""
        slug = f"t-{uuid4().hex}"
        answer = await self.call("POST", "/teams", {"name": "Club", "slug": slug, **body}, by=owner)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def joined(self, team: str, role: str = "member", person: Person | None = None) -> Person:
        """Return somebody whom staff put into a team."""
        person = person or await self.people.sign_up()
        answer = await self.call("PUT", f"/teams/{team}/members/{person.id}", {"role": role})
        assert answer.status_code == 204, answer.text
        return person

    async def roles_in(self, team: str, by: Person | None = None) -> dict[str, list[str]]:
        """Return the roles of each member."""
        listed = await self.call("GET", f"/teams/{team}/members", by=by)
        assert listed.status_code == 200, listed.text
        return {member["user_id"]: member["roles"] for member in listed.json()}

    async def told(self, team: str) -> list[str]:
        """Return the names of the events about a team, in order."""
        rows = await self.people.rows(
            "select name from monohull.outbox where name ~ '^(teams|rbac)\\.' and payload ->> 'team_id' = $1"
            " order by position",
            team,
        )
        return [row["name"] for row in rows]

    async def refused(
        self, method: str, path: str, body: Any = None, *, by: Any = None
    ) -> tuple[int, str | None]:
        """Return the status of an answer, and the code of a refusal."""
        answer = await self.call(method, path, body, by=by)
        return answer.status_code, answer.json()["code"] if answer.status_code >= 400 else None

    async def asked(self, person: Person | None, sql: str, *, role: str = "authenticated") -> list[Any]:
        """Run ``sql`` as a data request of ``person`` would, and return its first column."""
        claims: dict[str, Any] = {"role": role}
        if person is not None:
            claims = dict(await self.people.claims(person.tokens["access_token"]))
        async with self.served.runtime.database.connection() as connection, connection.transaction():
            await connection.execute(
                "select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)",
                json.dumps(claims),
                role,
            )
            return [row[0] for row in await connection.fetch(sql)]
