"""A token that was written after a change of its user holds, one from before does not, within one second too.

The application's clock stands still meanwhile, and a hook says what tokens say: the case in which an outdated
token is refused and not completed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from monohull.kernel import clock
from monohull.kernel.errors import InvalidCredential
from tests.application import Served, running_app, service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.conftest import RELAXED
from tests.integration.auth.people import People
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANGE = 'update auth.users set raw_app_meta_data = raw_app_meta_data || \'{"plan": "pro"}\' where id = $1'
HOOK = "python://tests.integration.auth.hook_functions/claims"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hooked(shared_connections: Connections) -> AsyncIterator[Served]:
    """The application with a hook that fills access tokens."""
    async with running_app(shared_connections, **RELAXED, auth_hook_custom_access_token_uri=HOOK) as served:
        yield served


@pytest.fixture
def people(hooked: Served) -> People:
    """Somebody to sign in as."""
    return People(hooked)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> int:
    """The second in which everything happens."""
    at = clock.unix_seconds()
    monkeypatch.setattr(clock, "unix_seconds", lambda: at)
    return at


async def renewed(people: People, token: str) -> dict[str, Any]:
    answer = await people.refresh(token)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def reason(people: People, token: str) -> str | None:
    try:
        await people.claims(token)
    except InvalidCredential as error:
        return error.reason
    return None


async def refused(people: People, token: str) -> str:
    """Wait until the application has heard of a change, and return why it refuses the token."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (why := await reason(people, token)) is None:  # noqa: ASYNC110 the application has no event for it
            await asyncio.sleep(0.005)
    return why


async def version(people: People, user_id: UUID) -> int:
    (row,) = await people.rows("select claims_version from auth.users where id = $1", user_id)
    return int(row["claims_version"])


async def test_both_orders_within_one_second(people: People, at: int) -> None:
    person = await people.sign_up()
    before = await renewed(people, person.refresh_token)
    await people.execute(CHANGE, person.id)
    after = await renewed(people, before["refresh_token"])
    assert await refused(people, before["access_token"]) == "outdated"
    claims = await people.claims(after["access_token"])
    assert (claims["iat"], claims["app_metadata"]["plan"]) == (at, "pro")
    again = await people.sign_in(person.email)
    assert await reason(people, again.tokens["access_token"]) is None


async def test_a_token_that_is_signed_later_and_knows_less(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second is behind that of the change, which its transaction did not see yet."""
    person = await people.sign_up()
    now = clock.unix_seconds()
    monkeypatch.setattr(clock, "unix_seconds", lambda: now + 20)
    async with people.served.runtime.database.connection() as connection, connection.transaction():
        await connection.execute(CHANGE, person.id)
        ignorant = await renewed(people, person.refresh_token)
    assert await refused(people, ignorant["access_token"]) == "outdated"
    knowing = await renewed(people, ignorant["refresh_token"])
    assert await reason(people, knowing["access_token"]) is None


async def test_changes_follow_one_another(people: People) -> None:
    person = await people.sign_up()
    first = await version(people, person.id)
    async with people.served.runtime.database.connection() as connection, connection.transaction():
        await connection.execute("update auth.users set claims_version = $2 where id = $1", person.id, 2**52)
        for role in ("one", "two"):
            await connection.execute("update auth.users set role = $2 where id = $1", person.id, role)
    assert await version(people, person.id) == 2**52 + 2 > first
    await people.execute(
        "update auth.users set role = role, last_sign_in_at = now() where id = $1", person.id
    )
    assert await version(people, person.id) == 2**52 + 2


@pytest.mark.usefixtures("at")
async def test_an_update_of_ours_knows_what_it_counted(people: People) -> None:
    """A sign-in in whose transaction the user is changed gives a token of the user as it is then."""
    person = await people.sign_up()
    await people.execute(
        "create or replace function public.mark() returns trigger language plpgsql as $$ begin"
        " new.raw_app_meta_data := new.raw_app_meta_data || '{\"seen\": true}'; return new; end $$;"
        " create trigger mark before update on auth.users for each row execute function public.mark()"
    )
    try:
        signed_in = await people.sign_in(person.email)
    finally:
        await people.execute("drop trigger mark on auth.users")
    assert await refused(people, person.tokens["access_token"]) == "outdated"
    assert await reason(people, signed_in.tokens["access_token"]) is None


@pytest.mark.usefixtures("at")
async def test_somebody_who_comes_back_by_the_same_id(people: People) -> None:
    person = await people.sign_up()
    await people.execute("delete from auth.users where id = $1", person.id)
    assert await refused(people, person.tokens["access_token"]) in {"deleted", "ended"}
    body = {"email": person.email, "password": PASSWORD, "id": str(person.id), "email_confirm": True}
    service = {"Authorization": f"Bearer {service_key()}"}
    made = await people.client.post("/auth/v1/admin/users", json=body, headers=service)
    assert made.status_code == 200, made.text
    back = await people.sign_in(person.email)
    assert await reason(people, back.tokens["access_token"]) is None
