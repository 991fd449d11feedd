from __future__ import annotations

import msgspec
import pytest

from monohull.kernel.database.errors import AdministratorNeeded
from monohull.kernel.database.server import (
    Role,
    Server,
    ensure_schemas_possible,
    plan_roles,
    quote_name,
    scram_verifier,
)

OPEN = {"owner_may_set": True, "login_may_set": True}
COMPLETE = {
    "anon": Role(**OPEN),
    "authenticated": Role(**OPEN),
    "service_role": Role(bypasses_rls=True, **OPEN),
    "authenticator": Role(can_login=True, inherits=False, owner_may_set=True),
}
SERVER = Server(
    version=180006,
    owner="shop owner",
    database="shop",
    owner_is_superuser=False,
    owner_creates_roles=True,
    owner_bypasses_rls=False,
    owner_creates_schemas=True,
    roles=COMPLETE,
)


def planned(version: int = 180006, *, is_superuser: bool = False, **roles: Role | None) -> list[str]:
    merged = {name: role for name, role in (COMPLETE | roles).items() if role is not None}
    server = msgspec.structs.replace(SERVER, version=version, roles=merged, owner_is_superuser=is_superuser)
    return [step.sql for step in plan_roles(server, "VERIFIER")]


def test_nothing_to_do() -> None:
    assert planned() == []


def test_an_empty_server() -> None:
    steps = planned(anon=None, authenticated=None, service_role=None, authenticator=None)
    assert steps == [
        "CREATE ROLE anon NOLOGIN NOINHERIT",
        "CREATE ROLE authenticated NOLOGIN NOINHERIT",
        "CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS",
        "CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD 'VERIFIER'",
        "GRANT anon, authenticated, service_role TO authenticator",
        'GRANT anon, authenticated, service_role TO "shop owner" WITH INHERIT FALSE, SET TRUE',
    ]


def test_memberships_before_16_have_no_options() -> None:
    assert planned(150000, anon=Role(login_may_set=True)) == ['GRANT anon TO "shop owner"']


def test_a_superuser_needs_no_membership() -> None:
    assert planned(is_superuser=True, anon=Role(login_may_set=True)) == []


def test_a_client_role_with_too_much_power_is_corrected() -> None:
    assert planned(anon=Role(bypasses_rls=True, **OPEN)) == ["ALTER ROLE anon NOSUPERUSER NOBYPASSRLS"]
    assert planned(authenticator=Role(can_login=True, inherits=False, is_superuser=True)) == [
        "ALTER ROLE authenticator NOSUPERUSER NOBYPASSRLS"
    ]


def test_too_little_power_is_mended_where_possible() -> None:
    server = msgspec.structs.replace(
        SERVER, roles=COMPLETE | {"service_role": Role(**OPEN), "authenticator": Role(inherits=True)}
    )
    steps = plan_roles(server, "VERIFIER")
    assert [step.sql for step in steps] == [
        "ALTER ROLE service_role BYPASSRLS",
        "ALTER ROLE authenticator LOGIN NOINHERIT",
    ]
    assert all(step.is_optional for step in steps)


def test_a_database_that_lets_the_owner_make_no_schema() -> None:
    ensure_schemas_possible(SERVER)
    locked = msgspec.structs.replace(SERVER, owner_creates_schemas=False, missing_schemas=("auth",))
    with pytest.raises(AdministratorNeeded) as caught:
        ensure_schemas_possible(locked)
    assert caught.value.sql == ('GRANT CREATE ON DATABASE "shop" TO "shop owner"',)
    assert '    GRANT CREATE ON DATABASE "shop" TO "shop owner";' in str(caught.value)


def test_the_verifier_is_postgresqls() -> None:
    # RFC 7677, section 3: user "user", password "pencil"
    salt = bytes.fromhex("5b6d99689d123ec7e11a8b5ec5a2d87e"[:32])
    assert scram_verifier("pencil", salt).startswith("SCRAM-SHA-256$4096:")
    assert scram_verifier("pencil") != scram_verifier("pencil")
    assert "pencil" not in scram_verifier("pencil")


def test_names_are_quoted() -> None:
    assert quote_name('a"b') == '"a""b"'
