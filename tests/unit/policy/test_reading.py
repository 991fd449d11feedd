"""What expressions read, as PostgreSQL prints them."""

from __future__ import annotations

import pytest

from modules.policy.held import take_texts
from modules.policy.reading import Reads, called_in, claim_at, mentions, read_by

JWT = "COALESCE(NULLIF(current_setting('request.jwt.claims'::text, true), ''::text), NULLIF(x, ''::text))"
UID = (
    "RETURN (COALESCE(NULLIF(current_setting('request.jwt.claim.sub'::text, true), ''::text), "
    "((NULLIF(current_setting('request.jwt.claims'::text, true), ''::text))::jsonb ->> 'sub'::text)))::uuid"
)
KNOWN = {"auth.jwt": read_by(JWT, {}), "auth.uid": read_by(UID, {})}


def test_functions_are_known_by_their_bodies() -> None:
    assert KNOWN["auth.jwt"] == Reads(whole=True)
    assert KNOWN["auth.uid"] == Reads((("sub",),), ("request.jwt.claim.sub",))


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("(owner_id = auth.uid())", [("sub",)]),
        ("(owner_id = ( SELECT auth.uid() AS uid))", [("sub",)]),
        ("(org_id = (auth.jwt() ->> 'org_id'::text))", [("org_id",)]),
        (
            "(((( SELECT auth.jwt() AS jwt) -> 'app_metadata'::text) ->> 'role'::text) = 'staff'::text)",
            [("app_metadata", "role")],
        ),
        ("((auth.jwt() #>> '{app_metadata,roles,0}'::text[]) = 'x'::text)", [("app_metadata", "roles", "0")]),
        ("((current_setting('request.jwt.claims'::text, true))::json ->> 'it''s'::text)", [("it's",)]),
        ("((auth.jwt() IS NOT NULL) AND ((data -> 'a'::text) IS NULL))", []),
        ("(data ->> 'auth.uid'::text)", []),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_claims_of_an_expression(text: str, claims: list[tuple[str, ...]]) -> None:
    assert list(read_by(text, KNOWN).claims) == claims


def test_other_settings() -> None:
    assert read_by("(tenant = current_setting('app.tenant'::text))", {}).settings == ("app.tenant",)


def test_claims_are_followed() -> None:
    claims = {"a": {"b": ["x", {"c": 1}]}, "n": None}
    assert [
        claim_at(claims, path) for path in (("a", "b", "1", "c"), ("a", "z"), ("n",), ("a", "b", "9"))
    ] == [
        1,
        None,
        None,
        None,
    ]


def test_names_in_expressions() -> None:
    assert called_in('(f(a) AND public.g(b) AND "My"."F"(c))') == ("f", "public.g", '"My"."F"')
    assert [mentions('(owner_id = "Id")', name) for name in ("owner_id", "Id", "owner")] == [
        True,
        True,
        False,
    ]


def test_parameters_take_texts() -> None:
    sql = """SELECT "$1", '$2' WHERE a = $2 AND b = ANY ($1)"""
    assert take_texts(sql, ["integer[]", '"My type"']) == (
        """SELECT "$1", '$2' WHERE a = ($2::text::"My type") AND b = ANY (($1::text::integer[]))"""
    )
