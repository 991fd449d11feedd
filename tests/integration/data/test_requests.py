"""What one data request gives and how it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.database.data import DataPool, PostgresError, ResultExceedsCeiling, Rows, Statement
from monohull.kernel.errors import InvalidRequest
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg

ANON = (("role", "anon"),)
ANN = (("role", "authenticated"), ("request.jwt.claims", '{"sub":"ann"}'))


async def idle(pool: DataPool) -> None:
    """Wait until every connection is at rest."""
    await eventually(lambda: not pool.in_use)


async def one(pool: DataPool, sql: str, *args: str | bytes | None, **options: Any) -> bytes | None:
    rows = await pool.run(sql, args, **options)
    [[value]] = rows.rows
    return value


async def test_rows_are_columns_bytes_and_a_tag(pool: DataPool) -> None:
    rows = await pool.run("select 1 as a, null as b, 'naïve' as c, '{\"x\": 1}'::jsonb as d", settings=ANON)
    assert rows == Rows(("a", "b", "c", "d"), [(b"1", None, "naïve".encode(), b'{"x": 1}')], "SELECT 1")


async def test_a_statement_without_rows(pool: DataPool) -> None:
    assert await pool.run("insert into plain values ($1, $2)", ["1", None], settings=ANON) == Rows(
        (), [], "INSERT 0 1"
    )
    assert await pool.run("", settings=ANON) == Rows((), [], "")
    assert await pool.run("select from generate_series(1, 2)", settings=ANON) == Rows(
        (), [(), ()], "SELECT 2"
    )


async def test_parameters_are_untyped_text(pool: DataPool) -> None:
    value = await one(pool, "select $1::int + 1", "41", key="sum")
    assert value == b"42"
    assert await one(pool, "select $1::int + 1", b"1", key="sum") == b"2"
    assert await one(pool, "select $1::int + 1", None, key="sum") is None
    assert await one(pool, "select $1::text", 'it\'s \\ "a"\n;--') == b'it\'s \\ "a"\n;--'


async def test_a_statement_is_parsed_once(single: DataPool) -> None:
    sql = "select name, generic_plans, custom_plans from pg_prepared_statements order by name"
    for _ in range(2):
        await single.run(sql, settings=ANON, key="list")
    names = await single.run(sql, settings=ANON, key="list")
    assert [(name, custom) for name, _, custom in names.rows] == [(b"m1", b"0"), (b"m2", b"0")]
    assert int(names.rows[1][1] or 0) >= 2


async def test_plans_are_generic_unless_told_otherwise(make_pool: Any) -> None:
    for generic, expected in ((True, b"force_generic_plan"), (False, b"auto")):
        async with make_pool(generic_plans=generic) as pool:
            assert await one(pool, "select current_setting('plan_cache_mode')") == expected


async def test_a_key_that_is_used_twice_runs_what_was_asked(single: DataPool) -> None:
    assert await one(single, "select 1", key="same") == b"1"
    assert await one(single, "select 2", key="same") == b"2"
    assert await one(single, "select 1", key="same") == b"1"
    batch = [
        Statement("select 3", (), "new"),
        Statement("select 4", (), "new"),
        Statement("select 3", (), "new"),
    ]
    assert [rows.rows for rows in await single.run_batch(batch)] == [[(b"3",)], [(b"4",)], [(b"3",)]]


async def test_statements_are_bounded(single: DataPool) -> None:
    wire = await single.take()
    wire._statements._size = 3
    single.put(wire)
    for number in range(10):
        await single.run(f"select {number}", key=f"k{number}")
    assert wire.statement_count == 3
    assert int(await one(single, "select count(*) from pg_prepared_statements") or 0) <= 4
    assert await one(single, "select 0", key="k0") == b"0"


@pytest.mark.parametrize("prepared", [True, False])
async def test_without_prepared_statements(make_pool: Any, prepared: bool) -> None:
    async with make_pool(size=1, prepared=prepared) as pool:
        for _ in range(3):
            assert await one(pool, "select who()", settings=ANN, key="who") == b"authenticated"
        with pytest.raises(PostgresError, match="22012"):
            await pool.run("select 1/$1::int", ["0"], key="div", settings=ANN)
        count = await one(pool, "select count(*) from pg_prepared_statements", key="count")
        assert (count == b"0") is not prepared


async def test_an_error_says_everything_the_server_said(pool: DataPool) -> None:
    await pool.run("insert into plain values (1, 'a')", settings=ANON)
    with pytest.raises(PostgresError) as caught:
        await pool.run("insert into plain values (1, 'b')", settings=ANON)
    error = caught.value
    assert (error.sqlstate, error.severity, error.is_fatal) == ("23505", "ERROR", False)
    assert error.message == 'duplicate key value violates unique constraint "plain_pkey"'
    assert error.detail == "Key (id)=(1) already exists."
    assert (error.schema, error.table, error.constraint, error.hint) == (
        "public",
        "plain",
        "plain_pkey",
        None,
    )
    with pytest.raises(PostgresError) as caught:
        await pool.run("select nothing from plain", settings=ANON)
    assert (caught.value.sqlstate, caught.value.position) == ("42703", 8)
    with pytest.raises(PostgresError) as caught:
        await pool.run(
            "do $$ begin raise 'no' using errcode = 'PT402', hint = 'h', detail = 'd', column = 'c'; end $$"
        )
    error = caught.value
    assert (error.sqlstate, error.hint, error.detail, error.column) == ("PT402", "h", "d", "c")
    assert "PL/pgSQL function inline_code_block line 1" in (error.where or "")


async def test_after_an_error_the_connection_is_clean(single: DataPool) -> None:
    for sql in ("select 1/0", "syntax error", "select * from missing", "insert into plain values (9, 'bad')"):
        with pytest.raises(PostgresError):
            await single.run(sql, key=sql, settings=ANON)
    assert await one(single, "select count(*) from plain", key="count", settings=ANON) == b"0"
    assert (single.in_use, single.opened_total) == (0, 1)


async def test_an_error_late_in_a_batch_undoes_what_came_before(single: DataPool) -> None:
    batch = [Statement("insert into plain values (1, 'a')", (), "i"), Statement("select 1/0", (), "d")]
    with pytest.raises(PostgresError, match="22012"):
        await single.run_batch(batch, settings=ANON)
    assert await one(single, "select count(*) from plain", settings=ANON) == b"0"


async def test_before_and_after_statements_share_the_transaction(single: DataPool) -> None:
    before = Statement("select set_config('request.seen', 'yes', true)", (), "before")
    main = Statement(
        "select current_setting('request.seen') from set_config('response.status', $1, true)", ["418"], "m"
    )
    after = Statement(
        "select current_setting('response.headers', true), current_setting('response.status', true)", (), "a"
    )
    results = await single.run_batch([before, main, after], settings=ANON)
    assert [rows.rows for rows in results] == [[(b"yes",)], [(b"yes",)], [(None, b"418")]]
    assert (await single.run_batch([after], settings=ANON))[0].rows[0][1] in (None, b"")


async def test_a_request_can_be_rolled_back(single: DataPool) -> None:
    sql = "insert into plain values ($1, 'a') returning id"
    for number in ("1", "2"):
        rows = await single.run(sql, [number], settings=ANON, key="ins", commit=False)
        assert rows == Rows(("id",), [(number.encode(),)], "INSERT 0 1")
    with pytest.raises(PostgresError, match="23514"):
        await single.run("insert into plain values (3, 'bad')", settings=ANON, commit=False)
    assert await one(single, "select count(*) from plain", settings=ANON) == b"0"
    assert await one(single, "select who()", settings=ANON) == b"anon"


async def test_isolation(single: DataPool) -> None:
    sql = "select current_setting('transaction_isolation')"
    assert await one(single, sql) == b"read committed"
    [rows] = await single.run_batch([Statement(sql)], isolation="serializable", settings=ANON)
    assert rows.rows == [(b"serializable",)]
    [rows] = await single.run_batch(
        [Statement("insert into plain values (1, 'a')")], isolation="repeatable read", settings=ANON
    )
    with pytest.raises(PostgresError, match="23505"):
        await single.run_batch(
            [Statement("insert into plain values (1, 'a')")], isolation="repeatable read", settings=ANON
        )
    assert await one(single, "select count(*) from plain", settings=ANON) == b"1"


async def test_a_changed_result_type_is_parsed_again(
    single: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    await admin.execute(
        "drop table if exists shape; create table shape (a int);"
        "insert into shape values (1); grant select on shape to anon"
    )
    first = await single.run("select * from shape", key="shape", settings=ANON)
    await admin.execute("alter table shape add b text default 'x'")
    second = await single.run("select * from shape", key="shape", settings=ANON)
    assert (first.columns, second.columns) == (("a",), ("a", "b"))
    assert second.rows == [(b"1", b"x")]
    await admin.execute("alter table shape drop b")
    assert (await single.run("select * from shape", key="shape", settings=ANON)).columns == ("a",)


async def test_discarded_statements_are_parsed_again(single: DataPool) -> None:
    assert await one(single, "select 1", key="one", settings=ANON) == b"1"
    await single.run("deallocate all", settings=ANON)
    assert await one(single, "select 1", key="one", settings=ANON) == b"1"
    await single.run("discard plans", settings=ANON)
    assert await one(single, "select 1", key="one", settings=ANON) == b"1"


async def test_a_stale_statement_of_somebody_else_is_no_endless_loop(single: DataPool) -> None:
    with pytest.raises(PostgresError, match="26000"):
        await single.run("execute nobody", settings=ANON)


async def test_read_only_and_time_outs_hold(single: DataPool) -> None:
    with pytest.raises(PostgresError, match="25006"):
        await single.run(
            "insert into plain values (1, 'a')", settings=(*ANON, ("transaction_read_only", "on"))
        )
    with pytest.raises(PostgresError, match="57014"):
        await single.run("select pg_sleep(5)", settings=(*ANON, ("statement_timeout", "30")))
    await single.run("insert into plain values (1, 'a')", settings=ANON)
    await single.run("select pg_sleep(0.05)", settings=ANON)


async def test_bad_arguments_are_refused_and_cost_no_connection(single: DataPool) -> None:
    with pytest.raises(InvalidRequest):
        await single.run("select $1", ["\ud800"])
    with pytest.raises(PostgresError, match="22021"):
        await single.run("select $1", ["a\0b"])
    with pytest.raises(PostgresError, match="08P01"):
        await single.run("select $1", [])
    assert (await one(single, "select 1"), single.opened_total) == (b"1", 1)


async def test_notices_are_observed(single: DataPool, seen: Any) -> None:
    await single.run("do $$ begin raise notice 'hello %', 1; raise warning 'w'; end $$", settings=ANON)
    found = [o for o in seen.observations if o.event == "database.notice"]
    assert [(n.severity, n.sqlstate, n.message) for n in found] == [
        ("NOTICE", "00000", "hello 1"),
        ("WARNING", "01000", "w"),
    ]
    assert single.notices_total == 2


async def test_notifications_are_passed_over(single: DataPool, admin: asyncpg.Connection[Any]) -> None:
    await single.run("listen gossip")
    await admin.execute("notify gossip, 'psst'")
    await asyncio.sleep(0.05)
    assert await one(single, "select 1") == b"1"


async def test_parameters_that_the_server_reports_are_kept(single: DataPool) -> None:
    await single.run("set timezone to 'Asia/Tokyo'")
    wire = await single.take()
    assert wire.parameters["TimeZone"] == "Asia/Tokyo"
    single.put(wire)


async def test_a_hundred_thousand_rows(pool: DataPool) -> None:
    rows = await pool.run("select g, repeat('x', 20) from generate_series(1, 100000) g", settings=ANON)
    assert (len(rows.rows), rows.rows[-1]) == (100_000, (b"100000", b"x" * 20))


async def test_large_values_both_ways(pool: DataPool) -> None:
    body = b"y" * (10 * 1024 * 1024)
    assert await one(pool, "select $1", body, settings=ANON, key="echo") == body
    assert (
        await one(pool, "select length($1) + length($2)", body, body, settings=ANON, key="sum") == b"20971520"
    )
    many = [str(number) for number in range(60_000)]
    sql = "select " + "+".join(f"length(${at})" for at in range(1, 60_001))
    with pytest.raises(PostgresError, match="54001"):  # stack depth: the server's own limit
        await pool.run(sql, many, settings=ANON)
    with pytest.raises(PostgresError, match="22012"):
        await pool.run("select length($1) / 0", [body], settings=ANON)
    assert await one(pool, "select 1") == b"1"


async def test_a_ceiling_on_the_result(make_pool: Any) -> None:
    async with make_pool(size=1, max_result_bytes=100_000) as pool:
        assert len((await pool.run("select repeat('x', 1000) from generate_series(1, 90)")).rows) == 90
        with pytest.raises(ResultExceedsCeiling, match="100000 bytes"):
            await pool.run("select repeat('x', 1000) from generate_series(1, 10000000)")
        await idle(pool)
        assert (await one(pool, "select 1"), pool.opened_total) == (b"1", 1)


async def test_copy_is_not_for_data_requests(single: DataPool) -> None:
    with pytest.raises(Exception, match="does not answer"):
        await single.run("copy plain to stdout", settings=ANON)
    assert await one(single, "select 1") == b"1"
