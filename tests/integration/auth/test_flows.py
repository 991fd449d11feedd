"""What a session goes through: sign-up, sign-in, refresh, change, end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import bcrypt
import msgspec
import pytest

from modules.auth.tokens import TokenCodec
from monohull.kernel import clock
from monohull.kernel.ids import hash_token
from tests.application import JWT_SECRET
from tests.factories.auth import PASSWORD, SignupFactory, save_user
from tests.integration.auth.people import V2

if TYPE_CHECKING:
    from tests.integration.auth.people import People, Person

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", autouse=True)
def quick_passwords() -> None:
    """Not here: the hashes are looked at."""


async def test_sign_up_answers_with_a_session_and_the_wires_user(people: People) -> None:
    began = clock.unix_seconds()
    person = await people.sign_up(data={"name": "Ada"})
    session = person.tokens
    assert session["token_type"] == "bearer"
    assert session["expires_in"] == 3600
    assert began <= session["expires_at"] - 3600 <= clock.unix_seconds()
    user = session["user"]
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert user["user_metadata"] == {"name": "Ada", "email_verified": True}
    assert (user["aud"], user["role"], user["phone"], user["is_anonymous"]) == (
        "authenticated",
        "authenticated",
        "",
        False,
    )
    (identity,) = user["identities"]
    assert identity["id"] == identity["user_id"] == user["id"] == identity["identity_data"]["sub"]
    assert identity["identity_data"]["name"] == "Ada"
    assert (identity["provider"], identity["email"]) == ("email", person.email)
    assert await people.events(person.id) == ["auth.user_signed_up", "auth.user_signed_in"]


async def test_claims_of_the_access_token(people: People) -> None:
    person = await people.sign_up()
    claims = await people.claims(person.tokens["access_token"])
    assert claims["iss"] == "http://127.0.0.1:8000/auth/v1"
    assert claims["sub"] == str(person.id)
    assert (claims["aud"], claims["role"], claims["aal"]) == ("authenticated", "authenticated", "aal1")
    assert (claims["email"], claims["phone"], claims["is_anonymous"]) == (person.email, "", False)
    assert claims["exp"] - claims["iat"] == 3600
    assert [amr["method"] for amr in claims["amr"]] == ["password"]
    assert str(UUID(claims["session_id"])) == claims["session_id"]
    assert claims["app_metadata"] == {"provider": "email", "providers": ["email"]}


async def test_tokens_are_for_no_cache(people: People) -> None:
    person = await people.sign_up()
    answer = await people.refresh(person.refresh_token)
    assert answer.headers["cache-control"] == "no-store"


async def test_addresses_do_not_care_about_case(people: People) -> None:
    name = uuid4().hex
    await people.sign_up(email=f"{name}@Example.COM")
    assert (await people.sign_in(f"{name.upper()}@example.com")).tokens["user"][
        "email"
    ] == f"{name}@example.com"
    again = await people.client.post(
        "/auth/v1/signup", json={"email": f"{name}@EXAMPLE.com", "password": PASSWORD}, headers=V2
    )
    assert (again.status_code, again.json()["code"]) == (422, "user_already_exists")


async def test_two_sign_ups_at_once_make_one_user(people: People) -> None:
    body = msgspec.json.encode(SignupFactory.build())
    answers = await asyncio.gather(
        *(people.client.post("/auth/v1/signup", content=body, headers=V2) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422, 422]


async def test_sign_in_opens_a_session_of_its_own(people: People) -> None:
    person = await people.sign_up()
    again = await people.sign_in(person.email)
    assert again.tokens["access_token"] != person.tokens["access_token"]
    devices = (await people.client.get("/auth/v1/sessions", headers=again.bearer)).json()
    assert [device["is_current"] for device in devices] == [True, False]
    assert devices[0]["user_agent"].startswith("python-httpx/")
    assert devices[0]["ip"] == "127.0.0.1"
    assert (await people.events(person.id))[-1] == "auth.user_signed_in"


async def test_wrong_passwords_and_shut_out_users(people: People) -> None:
    person = await people.sign_up()
    assert (await people.grant("password", email=person.email, password="wrong")).json()[
        "code"
    ] == "invalid_credentials"
    await people.execute(
        "update auth.users set banned_until = now() + interval '1 hour' where id = $1", person.id
    )
    assert (await people.grant("password", email=person.email, password="wrong")).json()[
        "code"
    ] == "invalid_credentials"
    banned = await people.grant("password", email=person.email, password=PASSWORD)
    assert (banned.status_code, banned.json()["code"]) == (400, "user_banned")
    assert (await people.refresh(person.refresh_token)).json()["code"] == "user_banned"
    shown = await people.client.get("/auth/v1/user", headers=person.bearer)
    assert (shown.status_code, shown.json()["code"]) == (403, "user_banned")


async def test_users_without_confirmation_or_password(people: People) -> None:
    database = people.served.runtime.database
    unconfirmed, empty, foreign = (f"{uuid4().hex}@example.com" for _ in range(3))
    async with database.unit_of_work() as work:
        await save_user(work, unconfirmed, email_confirmed_at=None)
        (await save_user(work, empty)).encrypted_password = ""
        (await save_user(work, foreign)).encrypted_password = "$2a$10$" + "x" * 53
    assert (await people.grant("password", email=unconfirmed, password="wrong")).json()[
        "code"
    ] == "invalid_credentials"
    assert (await people.grant("password", email=unconfirmed, password=PASSWORD)).json()[
        "code"
    ] == "email_not_confirmed"
    for email in (empty, foreign):
        for password in ("", PASSWORD):
            assert (await people.grant("password", email=email, password=password)).json()[
                "code"
            ] == "invalid_credentials"


async def test_a_hash_with_old_parameters_is_made_anew_at_sign_in(people: People) -> None:
    email = f"{uuid4().hex}@example.com"
    async with people.served.runtime.database.unit_of_work() as work:
        user = await save_user(work, email)
    await people.sign_in(email)
    (row,) = await people.rows("select encrypted_password from auth.users where id = $1", user.id)
    assert row["encrypted_password"].startswith("$argon2id$v=19$m=19456,t=4,p=1$")
    await people.sign_in(email)


async def test_a_hash_of_another_product_is_made_anew_at_sign_in(people: People) -> None:
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    email = f"{uuid4().hex}@example.com"
    async with people.served.runtime.database.unit_of_work() as work:
        (await save_user(work, email)).encrypted_password = stored
    assert (await people.grant("password", email=email, password="wrong")).status_code == 400
    person = await people.sign_in(email)
    (row,) = await people.rows("select encrypted_password from auth.users where id = $1", person.id)
    assert row["encrypted_password"].startswith("$argon2id$v=19$m=19456,t=4,p=1$")
    await people.sign_in(email)


async def test_users_that_sql_made_can_be_used(people: People) -> None:
    """As seeds written for Supabase insert them."""
    user_id = uuid4()
    await people.execute(
        "insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,"
        " recovery_sent_at, last_sign_in_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,"
        " confirmation_token, email_change, email_change_token_new, recovery_token)"
        " values ('00000000-0000-0000-0000-000000000000', $1, 'authenticated', 'authenticated', $2, '',"
        " now(), now(), now(), '{}', '{}', now(), now(), '', '', '', '')",
        user_id,
        f"{user_id.hex}@Example.com",
    )
    bearer = TokenCodec(secret=JWT_SECRET).sign({"sub": str(user_id), "role": "authenticated"})
    answer = await people.client.get("/auth/v1/user", headers={"Authorization": f"Bearer {bearer}"})
    assert answer.status_code == 200
    assert answer.json()["identities"] == []


# --- refresh ---------------------------------------------------------------------------------


async def test_a_refresh_rotates_and_keeps_the_session(people: People) -> None:
    person = await people.sign_up()
    before = await people.claims(person.tokens["access_token"])
    answer = await people.refresh(person.refresh_token)
    after = await people.claims(answer.json()["access_token"])
    assert answer.json()["refresh_token"] != person.refresh_token
    assert (after["session_id"], after["amr"]) == (before["session_id"], before["amr"])
    assert (await people.events(person.id))[-1] == "auth.token_refreshed"


async def test_refresh_tokens_are_stored_as_hashes(people: People) -> None:
    person = await people.sign_up()
    rows = await people.rows("select * from auth.refresh_tokens where user_id = $1", person.id)
    assert [row["token"] for row in rows] == [hash_token(person.refresh_token)]
    assert person.refresh_token not in repr(rows)


async def test_whoever_lost_the_answer_gets_it_again(people: People) -> None:
    """The parent of the live token may be used at any time, and gives the live token."""
    person = await people.sign_up()
    first = (await people.refresh(person.refresh_token)).json()["refresh_token"]
    await _age(people, person)
    again = await people.refresh(person.refresh_token)
    assert again.json()["refresh_token"] == first
    assert (await people.refresh(first)).status_code == 200


async def test_a_late_retry_within_the_interval_gets_the_live_token(people: People) -> None:
    person = await people.sign_up()
    token = person.refresh_token
    for _ in range(3):
        token = (await people.refresh(token)).json()["refresh_token"]
    assert (await people.refresh(person.refresh_token)).json()["refresh_token"] == token
    assert await _live(people, person) == 1


async def test_reuse_after_the_interval_ends_the_family(people: People) -> None:
    person = await people.sign_up()
    second = (await people.refresh(person.refresh_token)).json()["refresh_token"]
    third = (await people.refresh(second)).json()["refresh_token"]
    await _age(people, person)
    stolen = await people.refresh(person.refresh_token)
    assert (stolen.status_code, stolen.json()["code"]) == (400, "refresh_token_already_used")
    assert (await people.refresh(third)).json()["code"] == "refresh_token_already_used"
    assert await _live(people, person) == 0
    assert "auth.token_reuse_detected" in await people.events(person.id)


async def test_refreshes_at_once_agree_on_one_token(people: People) -> None:
    person = await people.sign_up()
    answers = await asyncio.gather(*(people.refresh(person.refresh_token) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert await _live(people, person) == 1


async def test_a_session_that_is_over_is_not_refreshed(people: People) -> None:
    person = await people.sign_up()
    await people.execute("update auth.sessions set not_after = now() where user_id = $1", person.id)
    answer = await people.refresh(person.refresh_token)
    assert (answer.status_code, answer.json()["code"]) == (400, "session_expired")


async def test_tokens_of_a_deleted_user_are_gone(people: People) -> None:
    person = await people.sign_up()
    await people.execute("delete from auth.users where id = $1", person.id)
    assert (await people.refresh(person.refresh_token)).json()["code"] == "refresh_token_not_found"
    shown = await people.client.get("/auth/v1/user", headers=person.bearer)
    assert (shown.status_code, shown.json()["code"]) == (403, "user_not_found")
    for table in ("identities", "sessions", "refresh_tokens"):
        assert not await people.rows(f"select 1 from auth.{table} where user_id = $1", person.id)


async def _age(people: People, person: Person) -> None:
    """Let more than the interval pass for the person's tokens."""
    await people.execute(
        "update auth.refresh_tokens set updated_at = updated_at - interval '601 seconds' where user_id = $1",
        person.id,
    )


async def _live(people: People, person: Person) -> int:
    return len(
        await people.rows("select 1 from auth.refresh_tokens where user_id = $1 and not revoked", person.id)
    )


# --- one's own account -----------------------------------------------------------------------


async def test_metadata_is_merged_and_null_removes(people: People) -> None:
    person = await people.sign_up(data={"name": "Ada", "age": 36})
    answer = await people.client.put(
        "/auth/v1/user", json={"data": {"age": None, "city": "London"}}, headers=person.bearer
    )
    assert answer.json()["user_metadata"] == {"name": "Ada", "city": "London", "email_verified": True}
    assert (await people.client.get("/auth/v1/user", headers=person.bearer)).json()[
        "user_metadata"
    ] == answer.json()["user_metadata"]
    assert (await people.events(person.id))[-1] == "auth.user_updated"


async def test_a_new_password_ends_the_other_sessions(people: People) -> None:
    person = await people.sign_up()
    other = await people.sign_in(person.email)
    answer = await people.client.put(
        "/auth/v1/user", json={"password": "another-horse"}, headers=person.bearer
    )
    assert answer.status_code == 200
    assert (await people.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200
    ended = await people.client.get("/auth/v1/user", headers=other.bearer)
    assert (ended.status_code, ended.json()["code"]) == (403, "session_not_found")
    assert (await people.grant("password", email=person.email, password=PASSWORD)).status_code == 400
    await people.sign_in(person.email, "another-horse")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"password": PASSWORD}, 422, "same_password"),
        ({"password": "short"}, 422, "weak_password"),
        ({"password": "x" * 73}, 400, "validation_failed"),
        ({"password": "another-horse", "current_password": "wrong"}, 400, "current_password_invalid"),
        ({"email": "nobody"}, 400, "validation_failed"),
        ({"phone": "+4912345"}, 400, "phone_provider_disabled"),
        ({"app_metadata": {"role": "admin"}}, 403, "not_admin"),
        ({"data": {"a": "\0"}}, 400, "validation_failed"),
        ({"data": []}, 400, "bad_json"),
    ],
)
async def test_changes_that_are_refused(
    people: People, body: dict[str, object], status: int, code: str
) -> None:
    person = await people.sign_up()
    answer = await people.client.put("/auth/v1/user", json=body, headers=person.bearer)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "auth.user_updated" not in await people.events(person.id)


async def test_the_present_address_and_password_change_nothing(people: People) -> None:
    person = await people.sign_up()
    answer = await people.client.put(
        "/auth/v1/user",
        json={"email": person.email.upper(), "current_password": PASSWORD, "password": "another-horse"},
        headers=person.bearer,
    )
    assert answer.status_code == 200
    assert answer.json()["email"] == person.email
    assert (await people.client.put("/auth/v1/user", json={}, headers=person.bearer)).status_code == 200


@pytest.mark.parametrize(
    ("scope", "alive"),
    [("global", (False, False)), ("local", (False, True)), ("others", (True, False)), ("", (False, False))],
)
async def test_sign_out(people: People, scope: str, alive: tuple[bool, bool]) -> None:
    here = await people.sign_up()
    there = await people.sign_in(here.email)
    query = f"?scope={scope}" if scope else ""
    answer = await people.client.post(f"/auth/v1/logout{query}", headers=here.bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    for person, expected in ((here, alive[0]), (there, alive[1])):
        shown = await people.client.get("/auth/v1/user", headers=person.bearer)
        assert (shown.status_code == 200) is expected
        assert ((await people.refresh(person.refresh_token)).status_code == 200) is expected
    assert "auth.user_signed_out" in await people.events(here.id)


async def test_sign_out_twice_or_with_another_scope(people: People) -> None:
    person = await people.sign_up()
    odd = await people.client.post("/auth/v1/logout?scope=everywhere", headers=person.bearer)
    assert (odd.status_code, odd.json()["code"]) == (400, "validation_failed")
    await people.client.post("/auth/v1/logout", headers=person.bearer)
    again = await people.client.post("/auth/v1/logout", headers=person.bearer)
    assert (again.status_code, again.json()["code"]) == (403, "session_not_found")


async def test_one_session_can_be_ended_by_its_owner_alone(people: People) -> None:
    owner, other = await people.sign_up(), await people.sign_up()
    ((device,),) = ((await people.client.get("/auth/v1/sessions", headers=owner.bearer)).json(),)
    for path, code in (
        (device["id"], "session_not_found"),
        (str(uuid4()), "session_not_found"),
        ("x", "validation_failed"),
    ):
        answer = await people.client.delete(f"/auth/v1/sessions/{path}", headers=other.bearer)
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    ended = await people.client.delete(f"/auth/v1/sessions/{device['id']}", headers=owner.bearer)
    assert (ended.status_code, ended.content) == (204, b"")
    assert (await people.client.get("/auth/v1/user", headers=owner.bearer)).status_code == 403


async def test_a_token_with_a_session_of_somebody_else_is_refused(people: People) -> None:
    mine, theirs = await people.sign_up(), await people.sign_up()
    codec = TokenCodec(secret=JWT_SECRET)
    session_id = (await people.claims(theirs.tokens["access_token"]))["session_id"]
    for value in (session_id, "not-a-uuid"):
        bearer = codec.sign({"sub": str(mine.id), "role": "authenticated", "session_id": value})
        answer = await people.client.get("/auth/v1/user", headers={"Authorization": f"Bearer {bearer}", **V2})
        assert (answer.status_code, answer.json()["code"]) == (403, "session_not_found")


async def test_a_trigger_of_the_project_may_refuse_a_sign_up(people: People) -> None:
    await people.execute(
        "create function public.refuse_staff() returns trigger language plpgsql as $$ begin"
        " if new.email like '%@refused.example' then raise exception 'ask an administrator'; end if;"
        " return new; end $$"
    )
    await people.execute(
        "create trigger refuse before insert on auth.users for each row"
        " execute function public.refuse_staff()"
    )
    answer = await people.client.post(
        "/auth/v1/signup", json={"email": "a@refused.example", "password": PASSWORD}, headers=V2
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "unexpected_failure")
    assert answer.json()["message"] == "Database error saving new user: ask an administrator"
    await people.sign_up()
