"""What surrounds a statement: settings, response settings, raised answers, plans, times, methods."""

from __future__ import annotations

from typing import Any

import pytest

from modules.query.catalog import Catalog, Relation
from modules.query.errors import RoutineNotFound
from modules.query.routines import Routine
from modules.rest.config import Config, RoleSettings, call_sql, gather, overlay, read_app_settings
from modules.rest.errors import render_rest_problem
from modules.rest.explain import Explain, read_explain
from modules.rest.guc import ResponseHeadersInvalid, ResponseStatusInvalid, override
from modules.rest.raised import DETAIL_HINT, MESSAGE_HINT, refusal
from modules.rest.response import outdated_warning
from modules.rest.root import allowed_on_relation, allowed_on_routine
from modules.rest.settings import RestSettings
from modules.rest.timing import OFF, Stopwatch
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.errors import InvalidCredential


class TestConfiguration:
    def test_the_database_overrides_by_either_name(self) -> None:
        found = {"pgrst.db_max_rows": "7", "pgrst.openapi_mode": "disabled", "pgrst.of_another": "x"}
        settings, names = overlay(RestSettings(), found)
        assert (settings.max_rows, settings.openapi_mode) == (7, "disabled")
        assert names == ("max_rows", "openapi_mode")

    def test_a_value_that_does_not_fit_changes_nothing(self) -> None:
        with pytest.raises(ValueError, match=r"pgrst\.db_tx_end = 'never'"):
            overlay(RestSettings(), {"pgrst.db_tx_end": "never"})

    def test_the_isolation_level_is_set_apart(self) -> None:
        pairs = [("statement_timeout", "1s"), ("default_transaction_isolation", "Serializable")]
        assert gather(pairs) == RoleSettings((("statement_timeout", "1s"),), "serializable")

    def test_only_some_settings_of_functions_are_hoisted(self) -> None:
        config = Config(RestSettings())
        hoisted = config.hoist([("work_mem", "1MB"), ("statement_timeout", "2s")])
        assert hoisted.settings == (("statement_timeout", "2s"),)

    def test_settings_of_the_application(self) -> None:
        assert read_app_settings({"MONOHULL_REST_APP_SETTINGS_A_B": "c", "OTHER": "d"}) == (
            ("app.settings.a_b", "c"),
        )

    def test_functions_are_quoted(self) -> None:
        assert call_sql('a"b.c') == 'select "a""b"."c"()'

    @pytest.mark.parametrize(
        ("tx_end", "rolls_back", "allows_override"),
        [
            ("commit", False, False),
            ("commit-allow-override", False, True),
            ("rollback", True, False),
            ("rollback-allow-override", True, True),
        ],
    )
    def test_ends_of_transactions(self, tx_end: Any, rolls_back: bool, allows_override: bool) -> None:
        settings = RestSettings(tx_end=tx_end)
        assert (settings.rolls_back, settings.allows_override) == (rolls_back, allows_override)

    def test_reads_may_be_isolated(self) -> None:
        assert Config(RestSettings()).read_isolation is None
        assert Config(RestSettings(tx_read_isolation="repeatable-read")).read_isolation == "repeatable read"

    def test_no_ceiling_leaves_it_to_the_login(self) -> None:
        assert Config(RestSettings(statement_timeout_seconds=0)).timeout_ms is None
        assert Config(RestSettings(statement_timeout_seconds=1.5)).timeout_ms == 1500


class TestResponseSettings:
    def test_headers_replace_and_add(self) -> None:
        raw = b'[{"Content-Type": "a/b"}, {"Set-Cookie": "a"}, {"Set-Cookie": "b"}]'
        headers = [(b"content-type", b"x"), (b"kept", b"y")]
        assert override(200, headers, (raw, b"202")) == (
            202,
            [(b"kept", b"y"), (b"content-type", b"a/b"), (b"set-cookie", b"a"), (b"set-cookie", b"b")],
        )

    @pytest.mark.parametrize("name", [b"Content-Length", b"TRANSFER-ENCODING"])
    def test_how_long_the_body_is_is_not_theirs(self, name: bytes) -> None:
        raw = b'[{"%b": "3"}, {"x": "y"}]' % name
        length = (b"content-length", b"5")
        assert override(200, [length], (raw, None)) == (200, [length, (b"x", b"y")])

    @pytest.mark.parametrize(
        "raw",
        [
            *(
                b"x",
                b"{}",
                b'[{"a": 1}]',
                b'[{"a": "b", "c": "d"}]',
                b'[{"a": "b\\r\\nc: d"}]',
                b'[{"": "x"}]',
            ),
            *(b'[{"transfer-encoding ": "chunked"}]', b'[{"a: b": "c"}]', b'[{"a b": "c"}]'),
        ],
    )
    def test_what_is_no_header(self, raw: bytes) -> None:
        with pytest.raises(ResponseHeadersInvalid):
            override(200, [], (raw, None))

    @pytest.mark.parametrize("raw", [b"bad", b"99", b"600", b"-200", b"\xff"])
    def test_what_is_no_status(self, raw: bytes) -> None:
        with pytest.raises(ResponseStatusInvalid):
            override(200, [], (None, raw))


def raised(message: str, detail: str | None, sqlstate: str = "PGRST") -> PostgresError:
    return PostgresError({"C": sqlstate, "M": message, **({"D": detail} if detail is not None else {})})


class TestRaised:
    def test_the_answer_is_the_functions_own(self) -> None:
        error = raised('{"code":"1","message":"m","hint":"h"}', '{"status":418,"headers":{"X-A":"b"}}')
        rendered = render_rest_problem(refusal(error, anonymous=False))
        assert rendered.status == 418
        assert rendered.body == b'{"code":"1","details":null,"hint":"h","message":"m"}'
        assert rendered.headers["X-A"] == "b"
        assert rendered.headers["Proxy-Status"] == "PostgREST; error=1"

    def test_how_long_the_body_is_is_not_theirs(self) -> None:
        error = raised(
            '{"code":"1","message":"m"}', '{"status":418,"headers":{"Content-length":"3","X-A":"b"}}'
        )
        assert refusal(error, anonymous=False).headers == {"X-A": "b"}

    @pytest.mark.parametrize(
        ("message", "detail", "details", "hint"),
        [
            ("X", "{}", "Invalid JSON value for MESSAGE: 'X'", MESSAGE_HINT),
            ('{"code":"1","message":"m"}', None, "DETAIL is missing in the RAISE statement", DETAIL_HINT),
            ('{"code":"1","message":"m"}', "X", "Invalid JSON value for DETAIL: 'X'", DETAIL_HINT),
            (
                '{"code":"1","message":"m"}',
                '{"status":99,"headers":{}}',
                'Invalid JSON value for DETAIL: \'{"status":99,"headers":{}}\'',
                DETAIL_HINT,
            ),
        ],
    )
    def test_what_is_not_understood(self, message: str, detail: str | None, details: str, hint: str) -> None:
        problem = refusal(raised(message, detail), anonymous=False)
        assert (problem.code, problem.status) == ("PGRST121", 500)
        assert (problem.details, problem.hint) == (details, hint)

    def test_other_states_are_the_databases(self) -> None:
        assert refusal(raised("m", None, "23505"), anonymous=False).status == 409


class TestErrors:
    def test_a_token_that_does_not_hold_says_why(self) -> None:
        rendered = render_rest_problem(InvalidCredential('a "b"', reason="expired"))
        assert rendered.headers["WWW-Authenticate"] == (
            'Bearer error="invalid_token", error_description="a \'b\'"'
        )

    def test_minimal(self) -> None:
        rendered = render_rest_problem(RoutineNotFound("a.b", "", hint="c"), is_minimal=True)
        assert rendered.body == (
            b'{"code":"PGRST202","message":"Could not find the function a.b in the schema cache"}'
        )


def test_plans() -> None:
    parameters = {"options": "verbose|analyze|nonsense"}
    explain = read_explain("application/vnd.pgrst.plan+json", parameters, "text/csv")
    assert explain == Explain("json", ("analyze", "verbose"), "text/csv")
    assert explain.clause == "EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON)"
    assert explain.content_type == (
        'application/vnd.pgrst.plan+json; for="text/csv"; options=analyze|verbose; charset=utf-8'
    )
    assert read_explain("text/csv", {}, "text/csv") is None


def test_times() -> None:
    watch = Stopwatch(0.001)
    watch.lap("parse")
    name, value = watch.header()
    assert name == b"server-timing"
    assert value.startswith(b"jwt;dur=1.0, parse;dur=")
    OFF.lap("parse")
    assert OFF.header()[1] == b"jwt;dur=0.0"


def test_methods_of_relations_and_functions() -> None:
    table = Relation(
        "public",
        "t",
        "table",
        {},
        primary_key=("id",),
        allows_insert=True,
        allows_update=True,
        allows_delete=True,
    )
    view = Relation("public", "v", "view", {})
    assert allowed_on_relation(table) == "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"
    assert allowed_on_relation(view) == "OPTIONS,GET,HEAD"
    routines = {
        ("public", "f"): (Routine("public", "f"),),
        ("public", "g"): (Routine("public", "g", volatility="stable"),),
    }
    catalog = Catalog({}, {}, routines=routines)
    assert allowed_on_routine(catalog, "public", "f") == "OPTIONS,POST"
    assert allowed_on_routine(catalog, "public", "g") == "OPTIONS,GET,HEAD,POST"
    with pytest.raises(RoutineNotFound):
        allowed_on_routine(catalog, "public", "h")


def test_the_warning_names_every_embed() -> None:
    name, value = outdated_warning([("tasks", "t"), ("users", "u")])
    assert name == b"warning"
    assert b"Update `tasks` to `t`, `users` to `u` in query string" in value
