"""No transaction is open while a hook outside of the database is asked; who is refused changed nothing."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest
import pytest_asyncio

from tests.application import running_app, service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.post import CONFIRMING, Post, new_email, new_phone
from tests.integration.auth.test_hooks import SECRET
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import httpx

    from monohull.kernel.home import Connections
    from tests.integration.auth.people import Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN: Final = {"Authorization": f"Bearer {service_key()}"}
OPEN: Final = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
  and state = 'idle in transaction' and backend_xid is not null
"""
"""How many transactions that wrote something wait for their client."""

KEPT: Final = """
select (select count(*) from auth.users), (select count(*) from auth.identities),
       (select count(*) from auth.sessions), (select count(*) from auth.refresh_tokens where not revoked),
       (select count(*) from auth.one_time_tokens), (select count(*) from monohull.outbox)
"""


class Hook:
    """An endpoint for two hooks, which looks at the database while it is asked."""

    def __init__(self, database: asyncpg.Connection) -> None:
        self.database = database
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.open: list[int] = []
        self.answer: Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]] = agree

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        payload = json.loads(await reader.readexactly(int(length)))
        point = "user" if "post /user " in head else "token"
        self.asked.append((point, payload))
        self.open.append(await self.database.fetchval(OPEN))
        answer = json.dumps(await self.answer(point, payload)).encode()
        writer.write(b"HTTP/1.1 200 x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(answer))
        writer.write(answer)
        await writer.drain()
        writer.close()

    def taken(self) -> list[str]:
        """Return which hooks were asked since the last time; none of them while something was open."""
        points, counts = [point for point, _ in self.asked], list(self.open)
        self.asked.clear()
        self.open.clear()
        assert counts == [0] * len(points)
        return points


async def agree(point: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"claims": {**payload["claims"], "seen": True}} if point == "token" else {}


def refuse(wanted: str) -> Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]:
    async def answer(point: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        if point == wanted:
            return {"error": {"http_code": 403, "message": "not here"}}
        return await agree(point, payload)

    return answer


@asynccontextmanager
async def running_hook(connections: Connections) -> AsyncIterator[tuple[Hook, dict[str, str]]]:
    database = await asyncpg.connect(connections.owner_url)
    hook = Hook(database)
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with server:
            yield (
                hook,
                {
                    "outbound_allowed": "127.0.0.1",
                    "auth_hook_custom_access_token_uri": f"{url}/token",
                    "auth_hook_custom_access_token_secrets": SECRET,
                    "auth_hook_before_user_created_uri": f"{url}/user",
                    "auth_hook_before_user_created_secrets": SECRET,
                },
            )
    finally:
        await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(shared_connections: Connections) -> AsyncIterator[tuple[Hook, Post]]:
    settings = {**CONFIRMING, "auth_mailer_autoconfirm": "true", "auth_sms_autoconfirm": "true"}
    async with (
        running_hook(shared_connections) as (hook, hooks),
        running_app(shared_connections, **settings, **hooks) as app,
    ):
        yield hook, Post(app)


@pytest.fixture
def hook(served: tuple[Hook, Post]) -> Hook:
    served[0].answer = agree
    served[0].taken()
    return served[0]


@pytest.fixture
def people(served: tuple[Hook, Post]) -> Post:
    return served[1]


async def sign_up(people: Post, **body: Any) -> httpx.Response:
    return await people.call("POST", "/signup", **body)


async def test_nothing_is_open_while_a_hook_is_asked(hook: Hook, people: Post) -> None:
    email = new_email()
    made = await sign_up(people, email=email, password=PASSWORD)
    assert made.status_code == 200, made.text
    assert hook.taken() == ["user", "token"]
    claims = await people.claims(made.json()["access_token"])
    assert (claims["seen"], claims["sub"]) == (True, made.json()["user"]["id"])
    signed_in = await people.sign_in(email)
    assert hook.taken() == ["token"]
    assert (await people.refresh(signed_in.refresh_token)).status_code == 200
    assert (await people.refresh(signed_in.refresh_token)).status_code == 200  # a retry takes another way
    assert hook.taken() == ["token", "token"]
    assert (await sign_up(people, data={"a": 1})).status_code == 200
    assert hook.taken() == ["user", "token"]
    link = await people.call("POST", "/admin/generate_link", ADMIN, type="magiclink", email=new_email())
    assert link.status_code == 200, link.text
    assert hook.taken() == ["user"]
    verified = await people.call("POST", "/verify", type="email", token_hash=link.json()["hashed_token"])
    assert verified.status_code == 200, verified.text
    assert hook.taken() == ["token"]
    for path, body in (
        ("/otp", {"email": new_email()}),
        ("/otp", {"phone": new_phone()}),
        ("/invite", {"email": new_email()}),
        ("/admin/users", {"email": new_email()}),
    ):
        answer = await people.call("POST", path, ADMIN, **body)
        assert answer.status_code == 200, answer.text
        assert hook.taken() == ["user"], path


async def test_each_session_stands_once(hook: Hook, people: Post) -> None:
    """What ran twice is there once, events included."""
    person = await people.sign_up()
    assert hook.taken() == ["user", "token"]
    assert len(await people.rows("select 1 from auth.sessions where user_id = $1", person.id)) == 1
    found = await people.rows("select 1 from auth.refresh_tokens where user_id = $1", str(person.id))
    assert len(found) == 1
    assert (await people.events(person.id)).count("auth.user_signed_in") == 1


@pytest.mark.parametrize("point", ["user", "token"])
async def test_who_is_refused_changed_nothing(hook: Hook, people: Post, point: str) -> None:
    person = await people.sign_up()
    link = await people.call("POST", "/admin/generate_link", ADMIN, type="magiclink", email=person.email)
    before = list((await people.rows(KEPT))[0].values())
    hook.answer = refuse(point)
    ways = [sign_up(people, email=new_email(), password=PASSWORD), sign_up(people, data={})]
    if point == "token":
        ways.append(people.grant("password", email=person.email, password=PASSWORD))
        token_hash = link.json()["hashed_token"]
        ways.append(people.call("POST", "/verify", type="email", token_hash=token_hash))
    for way in ways:
        answer = await way
        refusal = answer.json()
        assert (answer.status_code, refusal["code"], refusal["message"]) == (403, "hook_rejected", "not here")
    assert list((await people.rows(KEPT))[0].values()) == before


async def test_a_hook_is_asked_again_about_what_changed_meanwhile(hook: Hook, people: Post) -> None:
    person = await people.sign_up()
    hook.taken()

    async def change(point: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(hook.asked) == 1:
            await asyncio.sleep(1.1)  # the time in a token has seconds
            await promote(hook, person, "admin")
        return await agree(point, payload)

    hook.answer = change
    signed_in = await people.sign_in(person.email)
    asked = list(hook.asked)
    assert [payload["claims"]["app_metadata"].get("level") for _, payload in asked] == [None, "admin"]
    assert hook.taken() == ["token", "token"]
    body = signed_in.tokens["access_token"].split(".")[1]
    claims = json.loads(urlsafe_b64decode(body + "=="))
    assert (claims["app_metadata"]["level"], claims["seen"]) == ("admin", True)
    (first, second) = [payload["claims"]["iat"] for _, payload in asked]
    assert claims["iat"] == second > first, "a token that is older than the change would be refused"


async def test_what_never_stands_still_gives_no_token(hook: Hook, people: Post) -> None:
    person = await people.sign_up()
    hook.taken()

    async def change(point: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        await promote(hook, person, str(len(hook.asked)))
        return await agree(point, payload)

    hook.answer = change
    answer = await people.grant("password", email=person.email, password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (503, "hook_failed")
    assert set(hook.taken()) == {"token"}
    assert len(await people.rows("select 1 from auth.sessions where user_id = $1", person.id)) == 1


async def test_a_ban_while_the_hook_is_asked_counts(hook: Hook, people: Post) -> None:
    person = await people.sign_up()
    link = await people.call("POST", "/admin/generate_link", ADMIN, type="magiclink", email=person.email)
    hook.taken()

    async def ban(point: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        ends = "update auth.users set banned_until = now() + interval '1 day' where id = $1"
        await hook.database.execute(ends, person.id)
        return await agree(point, payload)

    hook.answer = ban
    answer = await people.call("POST", "/verify", type="email", token_hash=link.json()["hashed_token"])
    assert answer.status_code == 403, answer.text
    assert hook.taken() == ["token"]


async def promote(hook: Hook, person: Person, level: str) -> None:
    """Change what the token says, by SQL: it would wait for the row if something held it."""
    sql = "update auth.users set raw_app_meta_data = raw_app_meta_data || $2::jsonb where id = $1"
    async with asyncio.timeout(PATIENCE_SECONDS):
        await hook.database.execute(sql, person.id, json.dumps({"level": level}))
