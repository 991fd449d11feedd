"""The twelve refusals that everybody meets, and what has to be blamed for each."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

ANN: Final = "00000000-0000-4000-8000-00000000000a"
BOB: Final = "00000000-0000-4000-8000-00000000000b"


class Refusal(Struct, frozen=True):
    """A request of Ann's, what she is told, and who is to blame: kind, relation and policy of each."""

    name: str
    request: str
    outcome: tuple[int, str | None]
    blamed: tuple[tuple[str, str | None, str | None], ...]
    expected: dict[str, Any]
    body: Any = None
    headers: dict[str, str] = {}


UPSERT: Final = {"Prefer": "resolution=merge-duplicates"}

TWELVE: Final = (
    Refusal(
        "1 no policy", "GET /rest/v1/vault?id=eq.1", (200, None), (("no_policy", "public.vault", None),), {}
    ),
    Refusal(
        "2 another role",
        "GET /rest/v1/memos",
        (200, None),
        (("policy_for_other_role", "public.memos", "visitors read"),),
        {},
    ),
    Refusal(
        "3 false for the row",
        "GET /rest/v1/orders?id=eq.2",
        (200, None),
        (("policy", "public.orders", "own orders"),),
        {
            "expression": "(customer_id = auth.uid())",
            "values": {"customer_id": BOB, "auth.uid()": ANN, "claim sub": ANN},
            "clause": "USING for SELECT",
        },
    ),
    Refusal(
        "4 restrictive",
        "GET /rest/v1/invoices?id=eq.1",
        (200, None),
        (("restrictive_policy", "public.invoices", "nothing archived"),),
        {"expression": "(NOT archived)", "values": {"archived": "true"}},
    ),
    Refusal(
        "5 no privilege on the table",
        "GET /rest/v1/ledger",
        (403, "42501"),
        (("table_privilege", "public.ledger", None),),
        {"hint": "GRANT SELECT ON public.ledger TO authenticated;"},
    ),
    Refusal(
        "6 no privilege on a column",
        "GET /rest/v1/people?select=id,name,salary",
        (403, "42501"),
        (("column_privilege", "public.people", None),),
        {"columns": ["salary"]},
    ),
    Refusal(
        "7 the policy of an inner embed",
        "GET /rest/v1/parcels?select=id,orders!inner(id)&id=eq.2",
        (200, None),
        (("policy", "public.orders", "own orders"),),
        {"path": ["orders"], "values": {"customer_id": BOB, "auth.uid()": ANN, "claim sub": ANN}},
    ),
    Refusal(
        "8 a missing claim",
        "GET /rest/v1/projects?id=eq.1",
        (200, None),
        (("policy", "public.projects", "of the organisation"),),
        {
            "missing_claims": ["app_metadata.org_id"],
            "hint": "Put the claim app_metadata.org_id into the token.",
        },
    ),
    Refusal(
        "9 WITH CHECK of an insert",
        "POST /rest/v1/notes",
        (403, "42501"),
        (("policy", "public.notes", "write as oneself"),),
        {
            "clause": "WITH CHECK for INSERT",
            "expression": "(author_id = auth.uid())",
            "values": {"author_id": BOB, "auth.uid()": ANN, "claim sub": ANN},
        },
        {"author_id": BOB, "body": "x"},
    ),
    Refusal(
        "10 an update that sees no row",
        "PATCH /rest/v1/orders?id=eq.2",
        (204, None),
        (("policy", "public.orders", "own orders"), ("policy", "public.orders", "change own orders")),
        {"clause": "USING for SELECT", "expression": "(customer_id = auth.uid())"},
        {"total": 1},
    ),
    Refusal(
        "11 WITH CHECK of an update",
        "PATCH /rest/v1/tasks?id=eq.1",
        (403, "42501"),
        (("policy", "public.tasks", "keep tasks open"),),
        {
            "clause": "WITH CHECK for UPDATE",
            "expression": "(status <> 'done'::text)",
            "values": {"status": "done"},
        },
        {"status": "done"},
    ),
    Refusal(
        "12 an upsert",
        "POST /rest/v1/profiles",
        (403, "42501"),
        (
            ("no_policy", "public.profiles", None),
            ("no_policy", "public.profiles", None),
            ("no_policy", "public.profiles", None),
        ),
        {"clause": "USING for SELECT"},
        {"user_id": ANN, "nickname": "A"},
        UPSERT,
    ),
)
