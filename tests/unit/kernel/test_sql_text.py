from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.database.sql_text import SqlTextError, excerpt, locate, split

WHOLE = [
    "select 1",
    "select 'a;b'",
    "select 'it''s; fine'",
    r"select E'it\'s; fine'",
    "select E'a'\n  'b\\';c'",
    r"select 'no \' || ';'",
    'select 1 as "a;b"',
    'select 1 as "a"";b"',
    "select $$ ; $$",
    "select $tag$ ; $$ ; $tag$",
    "select $fünf$ ; $fünf$",
    "select a$b$c, 1 from t",
    "select $1, $2",
    "select U&'d;\\0061t'",
    "select 1 /* ; /* ; */ ; */ + 1",
    "select 1 -- ; not here\n + 1",
    "create rule r as on insert to t do also (insert into a values (1); insert into b values (2))",
    "create function f() returns int begin atomic select 1; select case when true then 2 end; end",
    "create or replace procedure p() language sql begin atomic insert into t values (1); end",
    "create function f() returns void language plpgsql as $$ begin perform 1; end; $$",
    "do $$ begin if true then null; end if; end $$",
    'create table atomic (begin int, "end" int)',
    "select x'1F;', b'01;', n'a;'",
    "select a ->> 'x', '{\"a\": 1}'::jsonb #> '{a,b}'",
    "select 1 --",
]


@pytest.mark.parametrize("statement", WHOLE)
def test_one_statement_stays_whole(statement: str) -> None:
    found = split(f"-- head\n{statement}\n;\n\n;")
    assert [one.text for one in found] == [statement]
    assert found[0].offset == len("-- head\n")


@given(
    st.lists(st.sampled_from(WHOLE), max_size=6),
    st.sampled_from([";", ";\n", ";\n-- said ';\n", " ; /* ' */ "]),
)
def test_statements_come_back_as_they_were_joined(statements: list[str], glue: str) -> None:
    joined = "".join(f"{statement}\n{glue}" for statement in statements)
    assert [one.text for one in split(joined)] == statements
    assert all(joined[one.offset :].startswith(one.text) for one in split(joined))


@given(st.text("ab'\"$;-/*\\()E \n", max_size=60))
def test_any_text_is_cut_or_refused_with_a_place(text: str) -> None:
    try:
        offsets = [one.offset for one in split(text)]
    except SqlTextError as error:
        offsets = [error.offset]
    assert offsets == sorted(set(offsets))
    assert all(0 <= offset < len(text) for offset in offsets)


@pytest.mark.parametrize(
    ("sql", "what", "offset"),
    [
        ("select 'a", "a string", 7),
        ("select E'a\\'", "a string", 7),
        ('select "a', "a quoted name", 7),
        ("select $x$ a $$", "quoted with $x$", 7),
        ("select /* a /* b */", "a comment", 7),
    ],
)
def test_what_does_not_end_is_refused(sql: str, what: str, offset: int) -> None:
    with pytest.raises(SqlTextError, match="does not end") as caught:
        split(sql)
    assert what in caught.value.message
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("sql", "controls"),
    [
        ("begin", True),
        ("START TRANSACTION isolation level serializable", True),
        ("commit and chain", True),
        ("end", True),
        ("rollback", True),
        ("abort", True),
        ("prepare transaction 'x'", True),
        ("rollback to savepoint a", False),
        ("rollback transaction to a", False),
        ("savepoint a", False),
        ("prepare q as select 1", False),
        ("start", False),
        ("select 1", False),
        ("()", False),
    ],
)
def test_transaction_control(sql: str, controls: bool) -> None:
    assert split(sql)[0].controls_transaction is controls


def test_copy_from_the_client_and_concurrently() -> None:
    assert split("copy t (a) from stdin")[0].copies_from_client
    assert not split("copy t to stdout")[0].copies_from_client
    assert split("create index CONCURRENTLY i on t (a)")[0].is_concurrent
    assert not split("create index i on t (a)")[0].is_concurrent


def test_places() -> None:
    text = "select 1;\n\tselect ü, x;\n"
    at = text.index("x")
    assert locate(text, at) == (2, 12)
    assert excerpt(text, at) == "     select ü, x;\n               ^"
    long = "a" * 300 + "x" + "b" * 300
    line, caret = excerpt(long, 300).split("\n")
    assert line[caret.index("^")] == "x"
    assert len(line) == 80
