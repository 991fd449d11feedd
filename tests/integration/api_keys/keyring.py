"""Making keys, and asking with them from wherever one likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from tests.application import service_key
from tests.factories.api_keys import CreateKeyFactory

if TYPE_CHECKING:
    from tests.application import Served

PATH: Final = "/platform/v1/api-keys"
SERVICE: Final = {"apikey": service_key()}
SHOP: Final = """
create table notes (id int primary key, owner uuid, text text);
alter table notes enable row level security;
create policy own on notes using (owner = auth.uid()) with check (owner = auth.uid());
create table products (id int primary key, name text);
comment on table products is '@public';
insert into products values (1, 'Rope');
create function who() returns jsonb language sql stable as
    $$ select current_setting('request.jwt.claims')::jsonb || jsonb_build_object('user', current_user) $$;
"""


async def make(served: Served, headers: dict[str, str] | None = None, **wanted: Any) -> httpx.Response:
    """Ask for a key."""
    body = msgspec.to_builtins(CreateKeyFactory.build()) | wanted
    return await served.client.post(PATH, json=body, headers=headers or SERVICE)


async def made(served: Served, **wanted: Any) -> dict[str, Any]:
    """Make a key."""
    answer = await make(served, **wanted)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def changed(served: Served, key_id: str, **wanted: Any) -> dict[str, Any]:
    """Change a key."""
    answer = await served.client.patch(f"{PATH}/{key_id}", json=wanted, headers=SERVICE)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ask(
    served: Served, key: str, path: str = "/rest/v1/products", *, address: str = "127.0.0.1", **headers: str
) -> httpx.Response:
    """Ask with a key from an address."""
    transport = httpx.ASGITransport(app=served.app, client=(address, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.get(path, headers={"apikey": key, **headers})


async def events(served: Served) -> list[tuple[str, dict[str, Any]]]:
    """Return what was published about keys, in order."""
    async with served.runtime.database.connection() as connection:
        rows = await connection.fetch(
            "select name, payload::text as payload from monohull.outbox"
            " where name like 'api_keys.%' order by position"
        )
    return [(row["name"].removeprefix("api_keys."), msgspec.json.decode(row["payload"])) for row in rows]
