"""A request runs as whoever sent it, and leaves nothing of it to the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.database.data import DataPool, PostgresError
from monohull.kernel.database.role import request_settings
from monohull.kernel.principal import Principal, PrincipalKind, anonymous

if TYPE_CHECKING:
    import asyncpg

WHO = (
    "select current_user, current_setting('request.jwt.claims', true),"
    " current_setting('transaction_read_only'), current_setting('search_path'),"
    " current_setting('statement_timeout')"
)


def settings(role: str, subject: str | None = None, *, read_only: bool = True) -> tuple[tuple[str, str], ...]:
    claims = {"role": role} | ({"sub": subject} if subject else {})
    who = (
        anonymous("anon")
        if subject is None
        else Principal(kind=PrincipalKind.USER, role=role, subject=subject, claims=claims)
    )
    return request_settings(
        who, method="GET", path="/notes", search_path='"public"', read_only=read_only, timeout_ms=900_000
    )


ANN = settings("authenticated", "ann")
BOB = settings("authenticated", "bob")
ANON = settings("anon")
ANN_WRITES = settings("authenticated", "ann", read_only=False)


async def nothing_is_left(pool: DataPool, login: str) -> None:
    """A request with no settings at all sees the login, no claims, and the login's own defaults."""
    [row] = (await pool.run(WHO)).rows
    assert row[:3] == (login.encode(), b"", b"off")
    left = await pool.run("select name, setting, reset_val from pg_settings where setting <> reset_val")
    assert not {name for name, _, _ in left.rows} & {b"search_path", b"statement_timeout", b"role"}


async def test_nothing_is_left_after_an_answer(single: DataPool, place: Any) -> None:
    rows = await single.run(WHO, settings=ANN)
    assert rows.rows == [
        (b"authenticated", b'{"role":"authenticated","sub":"ann"}', b"on", b'"public"', b"15min")
    ]
    await nothing_is_left(single, place.login)


@pytest.mark.parametrize(
    "sql", ["select 1/0", "syntax", "insert into notes values (9, 'ann')", "select pg_sleep(600)"]
)
@pytest.mark.parametrize("commit", [True, False])
async def test_nothing_is_left_after_an_error(single: DataPool, place: Any, sql: str, commit: bool) -> None:
    with pytest.raises(PostgresError):
        await single.run(sql, settings=(*ANN, ("statement_timeout", "900")), commit=commit, key=sql)
    await nothing_is_left(single, place.login)
    assert single.opened_total == 1


async def test_nothing_is_left_after_a_cancel(single: DataPool, place: Any) -> None:
    for _ in range(5):
        task = asyncio.create_task(single.run("select pg_sleep(600)", settings=ANN))
        await asyncio.sleep(0.02)
        task.cancel()
        await nothing_is_left(single, place.login)
    assert single.opened_total == 1


async def test_each_sees_their_own_rows_on_one_connection(single: DataPool) -> None:
    sql = "select id from notes order by id"
    for _ in range(3):
        assert (await single.run(sql, settings=ANN, key="n")).rows == [(b"1",)]
        assert (await single.run(sql, settings=BOB, key="n")).rows == [(b"2",)]
        assert len((await single.run(sql, settings=settings("service_role", "x"), key="n")).rows) == 2
        with pytest.raises(PostgresError, match="42501"):
            await single.run(sql, settings=ANON, key="n")


async def test_many_at_once_see_their_own_rows(pool: DataPool) -> None:
    async def read(who: tuple[tuple[str, str], ...], expected: bytes) -> None:
        for _ in range(20):
            assert (await pool.run("select id from notes", settings=who, key="n")).rows == [(expected,)]

    await asyncio.gather(*(read(ANN, b"1") for _ in range(5)), *(read(BOB, b"2") for _ in range(5)))


@pytest.mark.parametrize("statement", ["set role anon", "set local role anon", "reset role", "set role none"])
async def test_a_role_that_a_function_sets_ends_with_the_request(
    single: DataPool, place: Any, admin: asyncpg.Connection[Any], statement: str
) -> None:
    await admin.execute(
        f"create or replace function switch() returns text language plpgsql as"
        f" $$ begin {statement}; return current_user; end $$"
    )
    switched = await single.run("select switch()", settings=ANN, key="switch")
    assert switched.rows[0][0] != b"authenticated"
    assert (await single.run(WHO, settings=ANN)).rows[0][0] == b"authenticated"
    await single.run("select switch()", settings=ANN, key="switch")
    await nothing_is_left(single, place.login)


async def test_what_a_function_sets_for_its_session_does_not_speak_for_the_next(single: DataPool) -> None:
    names = (
        "role",
        "request.jwt.claims",
        "request.path",
        "request.headers",
        "request.method",
        "request.cookies",
        "search_path",
    )
    forged = "select " + ",".join(
        f"set_config('{name}', '{value}', false)"
        for name, value in (
            ("request.jwt.claims", '{"sub":"ann","role":"service_role"}'),
            ("request.path", "/forged"),
            ("request.headers", '{"x":"forged"}'),
            ("request.method", "FORGED"),
            ("request.cookies", '{"c":"forged"}'),
            ("search_path", "pg_temp"),
            ("role", "service_role"),
        )
    )
    await single.run(forged, settings=BOB)
    current = "select " + ",".join(f"current_setting('{name}')" for name in names)
    [row] = (await single.run(current, settings=BOB)).rows
    expected = dict(BOB)
    assert row == tuple(expected[name].encode() for name in names)
    assert (await single.run("select id from notes", settings=BOB)).rows == [(b"2",)]


async def test_a_read_only_request_stays_read_only(single: DataPool) -> None:
    for sql in ("set transaction read write", "select set_config('transaction_read_only', 'off', false)"):
        with pytest.raises(PostgresError):
            await single.run(sql, settings=ANN)
    with pytest.raises(PostgresError, match="25006"):
        await single.run("delete from notes", settings=ANN)
    assert (await single.run("update notes set body = 'x'", settings=ANN_WRITES)).tag == "UPDATE 1"


async def test_rows_of_others_cannot_be_written(single: DataPool) -> None:
    with pytest.raises(PostgresError, match="42501"):
        await single.run("insert into notes values (5, 'bob', 'forged')", settings=ANN_WRITES)
    assert (await single.run("delete from notes where owner = 'bob'", settings=ANN_WRITES)).tag == "DELETE 0"


@pytest.mark.parametrize(
    "value",
    [
        "'",
        "''; drop table notes; --",
        "\\",
        "\\'",
        "a\nb\r\t",
        "$1",
        "%s",
        "😀",
        '{"a":"\\u0027"}',
        "x" * 100_000,
    ],
)
async def test_a_value_is_only_a_value(single: DataPool, value: str) -> None:
    given = (("request.jwt.claims", value), ("request.path", value), ("role", "anon"))
    sql = "select current_setting('request.jwt.claims'), current_setting('request.path'), $1::text"
    assert (await single.run(sql, [value], settings=given)).rows == [(value.encode(),) * 3]


@pytest.mark.parametrize("role", ["nobody_knows", "anon; set role postgres", "", '"', "pg_read_all_data"])
async def test_an_unknown_role_is_the_servers_error(single: DataPool, place: Any, role: str) -> None:
    with pytest.raises(PostgresError) as caught:
        await single.run("select 1", settings=(("role", role),))
    assert caught.value.sqlstate in ("22023", "42501")
    await nothing_is_left(single, place.login)


@pytest.mark.parametrize("name", ["role', 'x', true) --", "a b", "x\0y", ""])
async def test_the_name_of_a_setting_cannot_be_made_up(single: DataPool, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a setting"):
        await single.run("select 1", settings=((name, "x"),))
    assert (await single.run("select 1")).rows == [(b"1",)]


async def test_settings_are_all_applied_before_the_statement(single: DataPool) -> None:
    given = tuple((f"app.s{number}", str(number)) for number in range(40))
    sql = "select " + ",".join(f"current_setting('app.s{number}')" for number in range(40))
    [row] = (await single.run(sql, settings=given)).rows
    assert row == tuple(str(number).encode() for number in range(40))
