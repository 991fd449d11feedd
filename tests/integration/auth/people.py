"""Sign people up and in, as a client would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from msgspec import Struct

from monohull.kernel.authentication import Credentials
from tests.factories.auth import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from tests.application import Served

V2 = {"X-Supabase-Api-Version": "2024-01-01"}


class Person(Struct, frozen=True):
    """Somebody who is signed in."""

    email: str
    tokens: Mapping[str, Any]

    @property
    def id(self) -> UUID:
        return UUID(self.tokens["user"]["id"])

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}", **V2}

    @property
    def refresh_token(self) -> str:
        return str(self.tokens["refresh_token"])


class People:
    """Makes people and looks at what is stored of them."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.client = served.client

    async def sign_up(self, **body: Any) -> Person:
        email = f"{uuid4().hex}@example.com"
        answer = await self.client.post(
            "/auth/v1/signup", json={"email": email, "password": PASSWORD, **body}
        )
        assert answer.status_code == 200, answer.text
        return Person(email, answer.json())

    async def sign_in(self, email: str, password: str = PASSWORD) -> Person:
        answer = await self.grant("password", email=email, password=password)
        assert answer.status_code == 200, answer.text
        return Person(email, answer.json())

    async def grant(self, grant_type: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"/auth/v1/token?grant_type={grant_type}", json=body, headers=V2)

    async def refresh(self, token: str) -> httpx.Response:
        return await self.grant("refresh_token", refresh_token=token)

    async def claims(self, token: str) -> Mapping[str, Any]:
        """What an access token says, once the application holds it for true."""
        principal = await self.served.runtime.authentication.authenticate(Credentials(bearer=token))
        return principal.claims

    async def rows(self, sql: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        async with self.served.runtime.database.connection() as connection:
            found: Sequence[Mapping[str, Any]] = await connection.fetch(sql, *arguments)
            return found

    async def execute(self, sql: str, *arguments: Any) -> None:
        async with self.served.runtime.database.connection() as connection:
            await connection.execute(sql, *arguments)

    async def events(self, user_id: UUID) -> list[str]:
        """Names of the events about a user, in order."""
        found = await self.rows(
            "select name from monohull.outbox where key = $1 order by position", str(user_id)
        )
        return [row["name"] for row in found]
