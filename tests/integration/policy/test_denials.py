"""``Prefer: explain-denial``: the answer says why, to those who may know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from modules.auth.tokens import TokenCodec
from tests.application import JWT_SECRET, Served, anon_key, service_key
from tests.integration.policy.refusals import ANN, BOB
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.home import Connections
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

WISH = {"Prefer": "explain-denial"}


def as_ann() -> dict[str, str]:
    token = TokenCodec(secret=JWT_SECRET).sign({"sub": ANN, "role": "authenticated", "aud": "authenticated"})
    return {"apikey": anon_key(), "Authorization": f"Bearer {token}"}


@pytest_asyncio.fixture(loop_scope="module")
async def developing(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve(env="development")


def told(answer: Any) -> Any:
    return json.loads(answer.headers["explain-denial"])


async def test_an_empty_answer_in_development(developing: Served) -> None:
    answer = await developing.client.get("/rest/v1/orders?id=eq.2", headers=as_ann() | WISH)
    assert (answer.status_code, answer.json()) == (200, [])
    [culprit] = told(answer)["culprits"]
    assert (culprit["policy"], culprit["expression"]) == ("own orders", "(customer_id = auth.uid())")
    assert culprit["values"] == {"auth.uid()": ANN, "claim sub": ANN}
    assert BOB not in answer.headers["explain-denial"]


async def test_a_refusal_in_development(developing: Served) -> None:
    body = {"author_id": BOB, "body": "x"}
    answer = await developing.client.post("/rest/v1/notes", json=body, headers=as_ann() | WISH)
    assert answer.status_code == 403
    assert told(answer)["culprits"][0]["policy"] == "write as oneself"
    whole = answer.json()["explanation"]
    assert (answer.json()["code"], whole["outcome"]["code"]) == ("42501", "42501")
    assert [step["kind"] for step in whole["steps"]][:4] == ["route", "credential", "rate", "scope"]
    assert BOB not in json.dumps(whole["culprits"])


async def test_a_closed_table(developing: Served, database: asyncpg.Connection) -> None:
    await database.execute("create table public.bare (id int); notify pgrst")
    answer = await eventually(
        lambda: developing.client.get("/rest/v1/bare", headers=as_ann() | WISH),
        lambda found: found.status_code == 403,
    )
    assert answer.json()["code"] == "MH100"
    assert [one["kind"] for one in told(answer)["culprits"]] == ["exposure"]


async def test_answers_with_rows_are_as_they_were(developing: Served) -> None:
    for headers in (WISH, {}):
        answer = await developing.client.get("/rest/v1/orders?id=eq.1", headers=as_ann() | headers)
        assert (len(answer.json()), "explain-denial" in answer.headers) == (1, False)
    silent = await developing.client.get("/rest/v1/orders?id=eq.2", headers=as_ann())
    assert "explain-denial" not in silent.headers


@pytest.mark.parametrize("path", ["/rest/v1/orders?id=eq.2", "/rest/v1/ledger"], ids=["empty", "refused"])
async def test_nobody_else_is_told(explaining: Served, path: str) -> None:
    for headers in (as_ann(), {"apikey": anon_key()}, {}):
        answer = await explaining.client.get(path, headers=headers | WISH)
        assert "explain-denial" not in answer.headers
        assert "explanation" not in answer.text


async def test_the_permission_is_enough(explaining: Served) -> None:
    headers = {"apikey": service_key()} | WISH
    answer = await explaining.client.get("/rest/v1/orders?id=eq.77", headers=headers)
    assert [one["kind"] for one in told(answer)["culprits"]] == ["no_rows"]


async def test_strict_handling_knows_the_preference(developing: Served) -> None:
    wish = {"Prefer": "handling=strict, explain-denial"}
    answer = await developing.client.get("/rest/v1/orders?id=eq.2", headers=as_ann() | wish)
    assert (answer.status_code, "explain-denial" in answer.headers) == (200, True)


async def test_the_route_is_guarded(explaining: Served) -> None:
    body = {"as": "anon", "request": "GET /rest/v1/orders"}
    for headers, status in (({}, 401), (as_ann(), 403)):
        answer = await explaining.client.post("/platform/v1/policy/explain", json=body, headers=headers)
        assert answer.status_code == status


UNEXPLAINABLE: list[tuple[dict[str, Any], int, str]] = [
    ({"as": "nobody", "request": "GET /rest/v1/orders"}, 400, "explain_caller_invalid"),
    ({"as": "user:x", "request": "GET /rest/v1/orders"}, 400, "explain_caller_invalid"),
    ({"as": f"user:{ANN[:-1]}f", "request": "GET /rest/v1/orders"}, 404, "explain_caller_unknown"),
    ({"as": f"key:{ANN}", "request": "GET /rest/v1/orders"}, 404, "explain_caller_unknown"),
    ({"as": "anon", "request": "GET /auth/v1/user"}, 400, "explain_request_invalid"),
    ({"as": "anon", "request": "FROB /rest/v1/orders"}, 400, "explain_request_invalid"),
    ({"as": "anon", "request": "orders"}, 400, "explain_request_invalid"),
    (
        {"as": "anon", "request": "GET /rest/v1/orders", "headers": {"a b": "c"}},
        400,
        "explain_request_invalid",
    ),
    ({"as": "anon", "request": "GET /rest/v1/orders?id=what.1"}, 400, "PGRST100"),
    ({"as": "anon", "request": "GET /rest/v1/orders", "rows": 0}, 400, "invalid_request"),
    ({"as": "anon"}, 400, "invalid_request"),
]


async def test_what_cannot_be_explained(explaining: Served) -> None:
    headers = {"apikey": service_key()}
    for body, status, code in UNEXPLAINABLE:
        answer = await explaining.client.post("/platform/v1/policy/explain", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (body, answer.text)
