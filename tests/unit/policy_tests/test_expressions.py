from __future__ import annotations

import pytest

from modules.policy_tests.expressions import (
    EMAIL,
    SUB,
    TEAMS,
    Compared,
    compared_columns,
    literals,
    referenced_tables,
)

ORG = ("app_metadata", "org")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("(user_id = auth.uid())", [Compared(None, "user_id", SUB)]),
        ("(user_id = ( SELECT auth.uid() AS uid))", [Compared(None, "user_id", SUB)]),
        ("(( SELECT auth.uid() AS uid) = user_id)", [Compared(None, "user_id", SUB)]),
        ("((auth.uid())::text = actor)", [Compared(None, "actor", SUB)]),
        ('("User Id" = auth.uid())', [Compared(None, "User Id", SUB)]),
        ("(owner = ((( SELECT auth.jwt() AS jwt) ->> 'sub'::text))::uuid)", [Compared(None, "owner", SUB)]),
        ("(email = ( SELECT auth.email() AS email))", [Compared(None, "email", EMAIL)]),
        (
            "(org = (((auth.jwt() -> 'app_metadata'::text) ->> 'org'::text))::integer)",
            [Compared(None, "org", ORG)],
        ),
        (
            (
                "(org_id = ((((current_setting('request.jwt.claims'::text, true))::json "
                "-> 'app_metadata'::text) ->> 'org'::text))::uuid)"
            ),
            [Compared(None, "org_id", ORG)],
        ),
        ("(team_id IN ( SELECT monohull.teams() AS teams))", [Compared(None, "team_id", TEAMS)]),
        (
            "(team_id = ANY (ARRAY( SELECT monohull.teams() AS teams)))",
            [Compared(None, "team_id", TEAMS)],
        ),
        (
            "((auth.jwt() -> 'teams'::text) ? (team_id)::text)",
            [Compared(None, "team_id", ("teams",), is_list=True)],
        ),
        (
            (
                "(customer_id = ( SELECT c.id\n   FROM public.customers c\n  "
                "WHERE (c.user_id = ( SELECT auth.uid() AS uid))))"
            ),
            [Compared("public.customers", "user_id", SUB)],
        ),
        (
            (
                "(EXISTS ( SELECT 1\n   FROM public.members\n  WHERE ((members.club_id = posts.club_id) AND "
                "(members.user_id = auth.uid()))))"
            ),
            [Compared("public.members", "user_id", SUB)],
        ),
        ("(((auth.jwt() -> 'app_metadata'::text) ->> 'role'::text) = 'staff'::text)", []),
        ("(auth.uid() IS NOT NULL)", []),
        ("true", []),
    ],
    ids=range(17),
)
def test_columns_beside_the_caller_are_found(expression: str, expected: list[Compared]) -> None:
    assert list(compared_columns(expression)) == expected


def test_literals_are_texts_and_numbers() -> None:
    text = "((status = ANY (ARRAY['it''s'::text, 'paid'::text])) AND (level >= 3) AND (rate < 0.5))"
    assert literals(text) == ["it's", "paid", "3", "0.5"]


def test_tables_of_subqueries_are_found() -> None:
    text = '(id IN ( SELECT m.club FROM (public.members m JOIN "my app"."Clubs" c ON ((c.id = m.club)))))'
    assert referenced_tables([text]) == {"public.members", "my app.Clubs"}
