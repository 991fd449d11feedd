"""What is understood of the trees of policies, and what is not."""

from __future__ import annotations

import pytest

from modules.rest.cache.serving import refuses
from modules.rest.cache.trees import Function, functions_in, read_tree

VAR = "{VAR :varno 1 :varattno 2 :vartype 25}"
CLAIMS = b"request.jwt.claims"
FUNCTIONS = {
    67: Function("texteq(text,text)", is_immutable=True),
    1299: Function("now()", is_immutable=False),
    2077: Function("current_setting(text)", is_immutable=False),
    3294: Function("current_setting(text,boolean)", is_immutable=False),
    20000: Function("auth.uid()", is_immutable=False, claims=frozenset({"sub"})),
    20001: Function("public.mine(text)", is_immutable=True),
    20002: Function("auth.jwt()", is_immutable=False, claims="all"),
}


def equal(other: str) -> str:
    return f"{{OPEXPR :opno 98 :opfuncid 67 :opresulttype 16 :args ({VAR} {other})}}"


def call(oid: int, args: str = "<>") -> str:
    return f"{{FUNCEXPR :funcid {oid} :funcresulttype 25 :funcretset false :args {args} :location -1}}"


def text(value: bytes) -> str:
    data = [*(4 * (len(value) + 4)).to_bytes(4, "little"), *value]
    shown = " ".join(str(byte if byte < 128 else byte - 256) for byte in data)
    return (
        "{CONST :consttype 25 :consttypmod -1 :constcollid 100 :constlen -1 :constbyval false "
        f":constisnull false :location 9 :constvalue {len(data)} [ {shown} ]}}"
    )


def setting(value: bytes) -> str:
    return call(3294, f"({text(value)} {{CONST :consttype 16 :constisnull false :constvalue 1 [ 1 ]}})")


def select(inner: str, tables: str = "<>") -> str:
    query = (
        f"{{QUERY :rtable {tables} :jointree {{FROMEXPR :fromlist <> :quals <>}} "
        f":targetList ({{TARGETENTRY :expr {inner}}})}}"
    )
    return f"{{SUBLINK :subLinkType 4 :subselect {query}}}"


@pytest.mark.parametrize(
    ("tree", "claims"),
    [
        ("{CONST :consttype 16 :constvalue 1 [ 1 ]}", frozenset()),
        (equal(text(b"public")), frozenset()),
        (equal(call(20000)), frozenset({"sub"})),
        (equal(select(call(20000))), frozenset({"sub"})),
        (equal(call(20002)), "all"),
        (f"{{BOOLEXPR :boolop or :args ({equal(call(20000))} {equal(call(20002))})}}", "all"),
        (equal(setting(CLAIMS)), "all"),
        (equal(f"{{COERCEVIAIO :arg {call(20000)} :resulttype 25}}"), frozenset({"sub"})),
    ],
)
def test_what_is_understood(tree: str, claims: object) -> None:
    reading = read_tree(tree, FUNCTIONS)
    assert (reading.why, reading.claims) == (None, claims)


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        (equal(call(1299)), "now()"),
        (equal(call(20001)), "public.mine"),
        (equal(call(30000)), "function 30000"),
        (equal(setting(b"request.headers")), "settings other than"),
        (equal(setting(b"request.jwt.claims ")), "settings other than"),
        (equal(call(3294, f"({VAR})")), "settings other than"),
        (f"({equal(setting(CLAIMS))} {equal(call(2077, f'({VAR})'))})", "settings other than"),
        (equal(select(call(20000), "({RANGETBLENTRY :rtekind 0})")), "reads other tables"),
        (equal(select(call(20000), "({RTE :rtekind 0})")), "reads other tables"),
        (equal("{SQLVALUEFUNCTION :op 3 :type 1184}"), "SQLVALUEFUNCTION"),
        (equal("{NEXTVALUEEXPR :seqid 1}"), "NEXTVALUEEXPR"),
        (equal(f"{{COERCEVIAIO :arg {VAR} :resulttype 1184}}"), "converts to a type"),
        (equal(f"{{COERCEVIAIO :arg {VAR} :resulttype 20005}}"), "converts to a type"),
        ("{OPEXPR :opno 98 :opfuncid 0}", "function 0"),
    ],
)
def test_what_is_not(tree: str, why: str) -> None:
    reading = read_tree(tree, FUNCTIONS)
    assert reading.why is not None
    assert why in reading.why


def test_all_calls_are_found() -> None:
    assert functions_in(equal(select(call(20000)))) == {67, 20000}


@pytest.mark.parametrize(
    ("control", "is_refused"),
    [
        (b"no-cache", True),
        (b"public, NO-STORE", True),
        (b"max-age=0", True),
        (b"max-age=1", False),
        (b"max-age=", True),
        (b'max-age="3"', False),
        (b"", False),
        (b"no-transform", False),
    ],
)
def test_what_clients_refuse(control: bytes, is_refused: bool) -> None:
    assert refuses(control, 1.0) is is_refused
