"""Users from elsewhere: what is kept, what is refused, and that they sign in."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import asyncpg
import bcrypt
import pytest

from modules.auth.intake import Intake, Rules
from modules.auth.intake.cli import streamed
from modules.auth.intake.report import Tally
from modules.auth.intake.sources import (
    HashConfig,
    read_auth0,
    read_csv,
    read_firebase,
    read_gotrue,
    read_jsonl,
)
from modules.auth.intake.sources.auth0 import read_hashes
from monohull.kernel.refusals import NotReachable, WrongSetup
from tests.application import on_database, running_app
from tests.factories.auth import PASSWORD as SIGN_UP_PASSWORD
from tests.integration.auth.conftest import RELAXED
from tests.integration.auth.people import People
from tests.unit.auth.test_intake_streams import CONSOLE
from tests.unit.auth.test_password_hashes import FIREBASE, HASHES, PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from modules.auth.intake import Entry, Report
    from monohull.kernel.home import Connections
    from tests.services import Services

OURS: Final = "$argon2id$v=19$m=19456,t=4,p=1$"
CONFIRMED: Final = "2024-01-02T03:04:05Z"


@pytest.fixture(scope="module", autouse=True)
def quick_passwords() -> None:
    """Not here: the hashes are looked at."""


async def take(people: People, entries: AsyncIterator[Entry], **options: Any) -> Report:
    rules = Rules(drops_unusable_hashes=options.pop("drops", False))
    tally = Tally("test", dry_run=options.pop("dry_run", False))
    return await Intake(people.served.runtime.database, tally, rules).run(entries)


async def take_lines(people: People, *users: dict[str, Any], **options: Any) -> Report:
    text = "\n".join(json.dumps(user) for user in users)
    return await take(people, streamed(read_jsonl(StringIO(text)), "test"), **options)


async def snapshot(people: People) -> list[str]:
    """Everything that an import could touch, as text."""
    rows = await people.rows(
        "select to_jsonb(u)::text as row from auth.users u union all"
        " select to_jsonb(i)::text from auth.identities i union all"
        " select name from monohull.outbox order by 1"
    )
    return [row["row"] for row in rows]


@asynccontextmanager
async def app(connections: Connections) -> AsyncIterator[People]:
    async with running_app(connections, **RELAXED) as served:
        yield People(served)


async def test_every_kind_of_hash_signs_in_and_becomes_ours(connections: Connections) -> None:
    kinds = {**HASHES, "firebase": FIREBASE}
    users = [
        {
            "email": f"{number}@example.com",
            "password_hash": hashed,
            "email_confirmed_at": CONFIRMED,
        }
        for number, hashed in enumerate(kinds.values())
    ]
    async with app(connections) as people:
        report = await take_lines(people, *users)
        assert (report.created, report.refused) == (len(kinds), 0), report.refusals
        for number, (kind, hashed) in enumerate(kinds.items()):
            email = f"{number}@example.com"
            right = "user1password" if kind == "firebase" else PASSWORD
            wrong = await people.grant("password", email=email, password="wrong")
            assert wrong.json()["code"] == "invalid_credentials", kind
            await people.sign_in(email, right)
            (row,) = await people.rows("select encrypted_password from auth.users where email = $1", email)
            assert row["encrypted_password"] != hashed, kind
            assert row["encrypted_password"].startswith(OURS), kind
            await people.sign_in(email, right)


async def test_a_second_run_changes_nothing_and_a_dry_one_neither(connections: Connections) -> None:
    users: list[dict[str, Any]] = [
        {"id": str(uuid4()), "email": "a@example.com", "user_metadata": {"name": "A"}},
        {"email": "b@example.com", "phone": "+49 151 234", "phone_confirmed_at": "true"},
        {"email": "A@example.com", "id": str(uuid4())},
        {"user_metadata": {}},
    ]
    async with app(connections) as people:
        before = await snapshot(people)
        dry = await take_lines(people, *users, dry_run=True)
        assert await snapshot(people) == before
        first = await take_lines(people, *users)
        assert (first.read, first.created, first.kept, first.refused) == (4, 2, 0, 2)
        assert first.reasons == {"email_taken": 1, "nobody": 1}
        assert (dry.created, dry.kept, dry.reasons) == (first.created, first.kept, first.reasons)
        after = await snapshot(people)
        again = await take_lines(people, *users)
        assert (again.created, again.kept, again.refused) == (0, 2, 2)
        assert await snapshot(people) == after
        assert after.count("auth.users_imported") == 1
        assert "auth.user_signed_up" not in after


async def test_what_is_kept_of_a_user(connections: Connections) -> None:
    user_id, identity_id = str(uuid4()), str(uuid4())
    user = {
        "id": user_id,
        "email": "Ada@Example.com",
        "phone": "+49 151 2345678",
        "password_hash": HASHES["bcrypt 2b"],
        "email_confirmed_at": CONFIRMED,
        "user_metadata": {"name": "Ada", "nested": {"a": [1, None]}},
        "app_metadata": {"role": "staff"},
        "created_at": "2020-05-06T07:08:09+02:00",
        "last_sign_in_at": "2023-01-01",
        "banned_until": "infinity",
        "identities": [
            {"id": identity_id, "provider": "google", "provider_id": "108", "identity_data": {"name": "Ada"}}
        ],
    }
    async with app(connections) as people:
        assert (await take_lines(people, user)).created == 1
        (row,) = await people.rows("select * from auth.users")
        assert (str(row["id"]), row["email"], row["phone"]) == (user_id, "ada@example.com", "491512345678")
        assert row["created_at"].isoformat() == "2020-05-06T05:08:09+00:00"
        assert row["email_confirmed_at"].isoformat() == "2024-01-02T03:04:05+00:00"
        assert row["phone_confirmed_at"] is None
        assert row["banned_until"].year == 9999
        assert json.loads(row["raw_user_meta_data"]) == user["user_metadata"]
        providers = ["google", "email", "phone"]
        assert json.loads(row["raw_app_meta_data"]) == {
            "provider": "google",
            "providers": providers,
            "role": "staff",
        }
        found = {row["provider"]: row for row in await people.rows("select * from auth.identities")}
        assert sorted(found) == sorted(providers)
        assert (str(found["google"]["id"]), found["google"]["provider_id"]) == (identity_id, "108")
        assert json.loads(found["google"]["identity_data"]) == {"sub": "108", "name": "Ada"}
        assert json.loads(found["email"]["identity_data"])["email_verified"] is True
        refused = await people.grant("password", email="ada@example.com", password=PASSWORD)
        assert refused.json()["code"] == "user_banned"


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ({"email": "no address"}, "validation_failed"),
        ({"email": "b@example.com", "phone": "12-34"}, "validation_failed"),
        ({"email": "b@example.com", "password_hash": "plain"}, "unusable_hash"),
        ({"email": "b@example.com", "password_hash": "$2b$31$" + "x" * 53}, "unusable_hash"),
        ({"email": "b@example.com", "role": "service_role"}, "privileged_role"),
        ({"email": "b@example.com", "user_metadata": {"a": "\0"}}, "validation_failed"),
        ({"email": "b@example.com", "user_metadata": {"a": "\ud800"}}, "not_storable"),
        ({"email": "A@example.com", "id": "10000000-0000-4000-8000-000000000001"}, "email_taken"),
        ({"phone": "4915112", "id": "10000000-0000-4000-8000-000000000001"}, "phone_taken"),
        (
            {
                "id": "10000000-0000-4000-8000-000000000001",
                "identities": [{"provider": "google", "provider_id": "1"}],
            },
            "identity_taken",
        ),
        ({"identities": [{"provider": "x", "provider_id": "1"}] * 2}, "identity_twice"),
    ],
)
async def test_who_is_refused_and_why(connections: Connections, user: dict[str, Any], reason: str) -> None:
    there = {
        "email": "a@example.com",
        "phone": "4915112",
        "identities": [{"provider": "google", "provider_id": "1"}],
    }
    async with app(connections) as people:
        await take_lines(people, there)
        report = await take_lines(people, user, {"email": "next@example.com"})
        assert (report.created, report.reasons) == (1, {reason: 1}), report.refusals
        assert report.refusals[0].where == "line 1"


async def test_an_unknown_hash_may_be_left_behind(connections: Connections) -> None:
    async with app(connections) as people:
        report = await take_lines(people, {"email": "a@example.com", "password_hash": "md5:x"}, drops=True)
        assert report.created == 1
        assert list(report.notes) == ["without a password: its hash cannot be compared with"]
        assert (await people.rows("select encrypted_password from auth.users"))[0][
            "encrypted_password"
        ] is None


async def test_whom_a_trigger_refuses_stays_out_alone(connections: Connections) -> None:
    async with app(connections) as people:
        await people.execute(
            "create function public.refuse() returns trigger language plpgsql as $$ begin"
            " if new.email like 'bad%' then raise exception 'ask an administrator'; end if;"
            " return new; end $$;"
            "create trigger refuse before insert on auth.users for each row execute function public.refuse()"
        )
        users = [
            {"email": f"{'bad' if number == 7 else 'good'}{number}@example.com"} for number in range(600)
        ]
        for dry_run in (True, False):
            report = await take_lines(people, *users, dry_run=dry_run)
            assert (report.created, report.reasons) == (599, {"database": 1})
            assert report.refusals[0].user == "bad7@example.com"
            assert report.refusals[0].message == "the database refuses it: ask an administrator"
        assert (await people.rows("select count(*) from auth.users"))[0]["count"] == 599


@pytest.fixture
async def other_database(
    services: Services, template_database: str, worker_number: int
) -> AsyncIterator[str]:
    """Another installation's database, with GoTrue's tables."""
    name = f"other_{worker_number}"
    admin = await asyncpg.connect(services.postgres_url)
    try:
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.execute(f"create database {name} template {template_database}")
        yield on_database(services.postgres_url, name)
        await admin.execute(f"drop database if exists {name} with (force)")
    finally:
        await admin.close()


KEPT_COLUMNS: Final = (
    "select id, email, phone, encrypted_password, email_confirmed_at, phone_confirmed_at, invited_at,"
    " raw_app_meta_data, raw_user_meta_data, created_at, last_sign_in_at, banned_until, role, is_anonymous,"
    " is_sso_user from auth.users where deleted_at is null order by id"
)
IDENTITY_COLUMNS: Final = (
    "select id, user_id, provider, provider_id, identity_data, created_at from auth.identities order by id"
)


async def test_another_gotrue_is_taken_over_whole(connections: Connections, other_database: str) -> None:
    other = await asyncpg.connect(other_database)
    ids = [uuid4() for _ in range(6)]
    hashed = bcrypt.hashpw(SIGN_UP_PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    try:
        for number, user_id in enumerate(ids):
            await other.execute(
                "insert into auth.users (id, email, phone, encrypted_password, email_confirmed_at,"
                " raw_app_meta_data, raw_user_meta_data, created_at, is_sso_user, is_anonymous, deleted_at)"
                " values ($1, $2, $3, $4, now(), $5, $6, now() - interval '1 year', $7, $8, $9)",
                user_id,
                None if number == 3 else f"user{number}@example.com",
                f"4915{number}" if number == 1 else None,
                "" if number == 2 else hashed,
                '{"provider": "email", "providers": ["email"], "plan": "pro"}',
                '{"name": "Ada", "email_verified": true}',
                number == 2,
                number == 3,
                None,
            )
            if number != 3:
                await other.execute(
                    "insert into auth.identities (provider, provider_id, user_id, identity_data)"
                    " values ($1, $2, $3, jsonb_build_object('sub', $2::text))",
                    f"sso:{uuid4()}" if number == 2 else "email",
                    str(user_id),
                    user_id,
                )
        await other.execute("update auth.users set deleted_at = now() where id = $1", ids[5])
        await other.execute("update auth.users set email_confirmed_at = null where email is null")
        await other.execute(
            "insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at)"
            " values (gen_random_uuid(), $1, 'totp', 'verified', now(), now())",
            ids[0],
        )
        theirs = await other.fetch(KEPT_COLUMNS), await other.fetch(IDENTITY_COLUMNS)
    finally:
        await other.close()
    async with app(connections) as people:
        report = await take(people, read_gotrue(other_database))
        assert (report.created, report.reasons) == (5, {"deleted": 1}), report.refusals
        assert list(report.notes) == ["without the second factor, which has to be enrolled again"]
        ours = await people.rows(KEPT_COLUMNS), await people.rows(IDENTITY_COLUMNS)
        for mine, yours in zip(ours[0], theirs[0], strict=True):
            assert dict(mine) == {
                **yours,
                "encrypted_password": yours["encrypted_password"] or None,
                "role": "authenticated",
            }
        gone = {row["id"] for row in theirs[1] if row["user_id"] == ids[5]}
        added = [row for row in ours[1] if row["provider"] == "phone"]
        assert [dict(row) for row in ours[1] if row not in added] == [
            dict(row) for row in theirs[1] if row["id"] not in gone
        ]
        assert [row["user_id"] for row in added] == [ids[1]]
        await people.sign_in("user0@example.com")
        after = await snapshot(people)
        again = await take(people, read_gotrue(other_database))
        assert (again.created, again.kept) == (0, 5)
        assert await snapshot(people) == after


async def test_an_old_gotrue_has_fewer_columns(connections: Connections, other_database: str) -> None:
    """Before 2023 the provider's name for a user stood in ``auth.identities.id``."""
    other = await asyncpg.connect(other_database)
    try:
        await other.execute(
            "drop schema auth cascade; create schema auth;"
            "create table auth.users (id uuid primary key, email text, encrypted_password text,"
            " confirmed_at timestamptz, email_confirmed_at timestamptz, raw_user_meta_data jsonb,"
            " raw_app_meta_data jsonb, created_at timestamptz);"
            "create table auth.identities (id text, user_id uuid, identity_data jsonb, provider text,"
            " created_at timestamptz, primary key (provider, id));"
            "insert into auth.users (id, email, created_at) values"
            " ('10000000-0000-4000-8000-000000000001', 'old@example.com', now());"
            "insert into auth.identities values ('4711', '10000000-0000-4000-8000-000000000001',"
            " '{\"sub\": \"4711\"}', 'github', now())"
        )
    finally:
        await other.close()
    async with app(connections) as people:
        report = await take(people, read_gotrue(other_database))
        assert (report.created, report.refused) == (1, 0), report.refusals
        (row,) = await people.rows("select provider, provider_id from auth.identities")
        assert tuple(row.values()) == ("github", "4711")


async def test_databases_that_cannot_be_read(other_database: str, platform_database: str) -> None:
    other = await asyncpg.connect(other_database)
    await other.execute("drop schema auth cascade")
    await other.close()
    with pytest.raises(WrongSetup, match="no table"):
        await anext(read_gotrue(other_database))
    with pytest.raises(NotReachable):
        await anext(read_gotrue("postgresql://nobody@127.0.0.1:1/nothing"))
    with pytest.raises(WrongSetup):
        await anext(read_gotrue("no address"))
    assert platform_database


FIREBASE_USER: Final = {
    "localId": "UVvAmRtZ6xPz3Vr7oUwIqJ4xKxA2",
    "email": "fire@example.com",
    "emailVerified": True,
    "passwordHash": FIREBASE.rpartition("$")[2],
    "salt": "42xEC+ixf3L2lw==",
    "displayName": "Fire",
    "lastSignedInAt": "1700000000000",
    "createdAt": "1600000000000",
    "customAttributes": '{"admin": true}',
    "providerUserInfo": [
        {"providerId": "password", "rawId": "fire@example.com"},
        {"providerId": "google.com", "rawId": "108", "email": "fire@example.com", "displayName": "Fire"},
    ],
    "mfaInfo": [{"mfaEnrollmentId": "x"}],
}


async def test_firebase(connections: Connections) -> None:
    anonymous = {"localId": "anonymous1", "createdAt": "1600000000000"}
    phone = {"localId": "phone1", "phoneNumber": "+4915112345", "disabled": True}
    text = json.dumps({"users": [FIREBASE_USER, anonymous, phone]}, indent=2)

    def entries() -> AsyncIterator[Entry]:
        return streamed(read_firebase(StringIO(text), HashConfig.read(CONSOLE)), "users.json")

    async with app(connections) as people:
        report = await take(people, entries())
        assert (report.created, report.refused) == (3, 0), report.refusals
        await people.sign_in("fire@example.com", "user1password")
        (row,) = await people.rows("select * from auth.users where email = 'fire@example.com'")
        assert row["encrypted_password"].startswith(OURS)
        assert row["created_at"].timestamp() == 1_600_000_000
        assert json.loads(row["raw_user_meta_data"]) == {"name": "Fire"}
        app_metadata = json.loads(row["raw_app_meta_data"])
        assert app_metadata["imported_id"] == FIREBASE_USER["localId"]
        assert app_metadata["claims"] == {"admin": True}
        assert sorted(app_metadata["providers"]) == ["email", "google"]
        (number,) = await people.rows("select * from auth.users where phone = '4915112345'")
        assert (number["is_anonymous"], number["banned_until"].year) == (False, 9999)
        assert len(await people.rows("select 1 from auth.users where is_anonymous")) == 1
        after = await snapshot(people)
        assert (await take(people, entries())).kept == 3
        assert await snapshot(people) == after


async def test_auth0(connections: Connections) -> None:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    oid = "5f7c8ec7c33c6c004bbafe82"
    profiles = [
        {
            "user_id": f"auth0|{oid}",
            "email": "auth@example.com",
            "email_verified": True,
            "name": "Auth",
            "created_at": "2021-02-03T04:05:06.789Z",
            "app_metadata": {"plan": "pro"},
            "user_metadata": {"color": "red"},
            "identities": [
                {"provider": "auth0", "user_id": oid, "connection": "Username-Password-Authentication"},
                {"provider": "google-oauth2", "user_id": "1089", "isSocial": True},
            ],
        },
        {
            "user_id": "github|77",
            "email": "hub@example.com",
            "identities": [{"provider": "github", "user_id": 77}],
        },
        {"email": "own@example.com", "email_verified": True, "passwordHash": hashed, "blocked": False},
        {
            "user_id": "auth0|x",
            "custom_password_hash": {"algorithm": "md5", "hash": {"value": "x"}},
            "email": "m@example.com",
        },
        {"email_verified": True},
    ]
    hashes = read_hashes(
        StringIO(json.dumps({"_id": {"$oid": oid}, "email": "auth@example.com", "passwordHash": hashed}))
    )
    text = "\n".join(json.dumps(profile) for profile in profiles)

    def entries() -> Iterator[Entry]:
        return read_auth0(StringIO(text), hashes)

    async with app(connections) as people:
        report = await take(people, streamed(entries(), "users.json"))
        assert (report.created, report.reasons) == (3, {"unusable_hash": 1, "bad_value": 1}), report.refusals
        for email in ("auth@example.com", "own@example.com"):
            await people.sign_in(email, PASSWORD)
            (row,) = await people.rows("select * from auth.users where email = $1", email)
            assert row["encrypted_password"].startswith(OURS)
        (row,) = await people.rows("select * from auth.users where email = 'auth@example.com'")
        metadata = json.loads(row["raw_app_meta_data"])
        assert (metadata["plan"], metadata["imported_id"]) == ("pro", f"auth0|{oid}")
        assert sorted(metadata["providers"]) == ["email", "google"]
        assert json.loads(row["raw_user_meta_data"]) | {"color": "red", "name": "Auth"} == json.loads(
            row["raw_user_meta_data"]
        )
        assert len(await people.rows("select 1 from auth.identities where provider = 'github'")) == 1
        after = await snapshot(people)
        assert (await take(people, streamed(entries(), "users.json"))).kept == 3
        assert await snapshot(people) == after


async def test_csv(connections: Connections) -> None:
    user_id = uuid4()
    metadata = '"{""name"":\n""Ada, Countess""}"'
    text = (
        "id,email,encrypted_password,email_confirmed_at,raw_user_meta_data\r\n"
        f"{user_id},csv@example.com,{HASHES['bcrypt 2a']},true,{metadata}\r\n"
        ",second@example.com,,,\r\n"
    )
    async with app(connections) as people:
        report = await take(people, streamed(read_csv(StringIO(text, newline="")), "users.csv"))
        assert (report.created, report.refused) == (2, 0), report.refusals
        assert (await people.sign_in("csv@example.com", PASSWORD)).id == UUID(str(user_id))
        (row,) = await people.rows("select raw_user_meta_data from auth.users where id = $1", user_id)
        assert json.loads(row["raw_user_meta_data"]) == {"name": "Ada, Countess"}
