"""Roles that are limited to columns, at the data API: the others are as if they were not there."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.application import service_key
from tests.integration.rest.clinic import (
    CLINIC,
    HIDDEN,
    SECRET,
    Clinic,
    any_request,
    other_name,
    said,
)

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.home import Connections
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"apikey": service_key()}
RELAXED = {"rest_rate_limit": "0", "rest_schemas": "public,office"}
REQUESTS = 250


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    return (CLINIC,)


@pytest_asyncio.fixture(loop_scope="module")
async def clinic(connections: Connections, standing: Standing) -> Clinic:  # noqa: ARG001 a fresh one first
    served = await standing.serve(**RELAXED)
    if standing.keeps is None:
        clinic = Clinic(served)
        await clinic.open()
        await standing.remember()
        standing.keeps = clinic
    kept: Clinic = standing.keeps
    return kept


async def rows(clinic: Clinic, path: str, **more: Any) -> Any:
    answer = await clinic.ask("GET", path, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_is_left_is_answered_as_ever(clinic: Clinic) -> None:
    ida = {"id": 1, "name": "Ida", "ward": "north", "doctor_id": 1}
    for _ in range(3):  # compiled, remembered, known
        assert await rows(clinic, "patients?id=eq.1") == [ida]
        assert await rows(clinic, "patients?id=eq.1&select=*") == [ida]
    assert await rows(clinic, "patients?select=label&id=eq.1") == [{"label": "Ida in north"}]
    assert await rows(clinic, "patients?select=ward,count()&order=ward") == [
        {"ward": "north", "count": 2},
        {"ward": "south", "count": 1},
    ]
    embedded = (
        "patients?id=eq.1&select=name,doctor:staff!doctor_id(*),neighbours(*),...staff!doctor_id(login)"
    )
    assert await rows(clinic, embedded) == [
        {
            "name": "Ida",
            "doctor": {"id": 1, "login": "ann"},
            "neighbours": [ida, {"id": 2, "name": "Kurt", "ward": "north", "doctor_id": 2}],
            "login": "ann",
        }
    ]
    assert await rows(clinic, "rpc/find_patients?word=ida") == [ida]
    assert await rows(clinic, "rpc/one_patient?wanted=1") == ida
    other = {"Accept-Profile": "office"}
    assert (await rows(clinic, "rpc/patients?word=", headers=other))[0] == ida
    csv = (await clinic.ask("GET", "patients?id=eq.3", headers={"Accept": "text/csv"})).text
    assert csv == "id,name,ward,doctor_id\n3,Rosa,south,"


async def test_writes_say_which_column_may_not_be_written(
    clinic: Clinic, database: asyncpg.Connection
) -> None:
    back = {"Prefer": "return=representation"}
    for body, column in (
        ({"id": 9, "name": "Eva", "insurance_no": "1"}, "insurance_no"),
        ({"id": 9, "name": "Eva", "label": "1"}, "label"),
        ({"id": 9, "name": "Eva", "nothing": "1"}, "nothing"),
    ):
        answer = await clinic.ask("POST", "patients", json=body, headers=back)
        assert (answer.status_code, answer.json()["code"]) == (403, "MH104")
        assert answer.json()["message"] == f"You may not write the column '{column}' of 'patients'"
        assert answer.json()["details"] == "Limited by: nurse"
    refused = await clinic.ask("PATCH", "patients?id=eq.1", json={"mentor_id": 1})
    assert (refused.status_code, refused.json()["code"]) == (403, "MH104")
    named = await clinic.ask("POST", "patients?columns=id,name,diary", json={"id": 9, "name": "Eva"})
    assert (named.status_code, named.json()["code"]) == (403, "MH104")
    made = await clinic.ask("POST", "patients", json={"id": 9, "name": "Eva"}, headers=back)
    assert (made.status_code, made.json()) == (
        201,
        [{"id": 9, "name": "Eva", "ward": None, "doctor_id": None}],
    )
    assert await database.fetchval("select insurance_no from patients where id = 9") == "TOP-none"
    changed = await clinic.ask("PATCH", "patients?id=eq.9", json={"ward": "south"}, headers=back)
    assert changed.json() == [{"id": 9, "name": "Eva", "ward": "south", "doctor_id": None}]
    merging = {"Prefer": "return=representation,resolution=merge-duplicates"}
    merged = await clinic.ask("POST", "patients", json={"id": 9, "name": "Eve"}, headers=merging)
    assert (merged.status_code, merged.json()[0]["name"]) == (200, "Eve")
    gone = await clinic.ask("DELETE", "patients?id=eq.9", headers=back)
    assert gone.json() == [{"id": 9, "name": "Eve", "ward": "south", "doctor_id": None}]


async def test_a_hidden_key_is_no_key(clinic: Clinic) -> None:
    await clinic.limit("nurse", "cards", read=["owner_id", "colour"], write=["*"])
    located = await clinic.ask(
        "POST", "cards", json={"serial": "TOP-s3", "colour": "red"}, headers={"Prefer": "return=headers-only"}
    )
    assert (located.status_code, "location" in located.headers) == (201, False)
    put = await clinic.ask("PUT", "cards?serial=eq.TOP-s3", json={"serial": "TOP-s3", "colour": "blue"})
    assert (put.status_code, put.json()["code"]) == (405, "PGRST105")
    assert "PUT" not in (await clinic.ask("OPTIONS", "cards")).headers["allow"].split(",")


async def test_the_database_does_not_name_them_either(clinic: Clinic) -> None:
    assert (await clinic.ask("POST", "patients", json={"id": 20, "name": "Eva"})).status_code == 201
    again = await clinic.ask("POST", "patients", json={"id": 20, "name": "Eva"})
    assert (again.status_code, again.json()["code"]) == (409, "23505")
    assert again.json()["message"] == 'duplicate key value violates unique constraint "patients_pkey"'
    assert again.json()["details"] is None
    default = await clinic.ask("POST", "patients", json={"id": 21, "name": "Eva"})
    assert (default.status_code, default.json()["code"]) == (409, "23505")
    raised = await clinic.ask("PATCH", "patients?id=eq.1", json={"ward": "closed"})
    assert (raised.status_code, raised.json()["code"]) == (400, "P0001")
    for answer in (default, raised):
        assert SECRET not in said(answer)
        assert not any(name in said(answer) for name in HIDDEN)
        assert answer.json()["message"]


async def test_neither_descriptions_nor_plans_nor_whole_rows_show_them(clinic: Clinic) -> None:
    whole = await clinic.ask("GET", "", by=SERVICE)
    described = await clinic.ask("GET", "")
    assert described.status_code == 200
    properties = described.json()["definitions"]["patients"]["properties"]
    assert list(properties) == ["id", "name", "ward", "doctor_id"]
    assert list(described.json()["definitions"]["cards"]["properties"]) == ["owner_id", "colour"]
    for name in ("insurance_no", "mentor_id", "diary", "pin", "mood", "serial"):
        assert name in whole.text
        assert name not in described.text
    for name in ("to_jsonb", "row_to_json", "json_agg", "ctid", "xmin", "number_of", "patients"):
        answer = await clinic.ask("GET", f"patients?select={name}")
        assert (answer.status_code, answer.json()["code"]) == (400, "42703"), name
    for media_type in ("application/vnd.pgrst.plan+json", "application/vnd.pgrst.plan+text"):
        plan = await clinic.ask("GET", "patients?select=id", headers={"Accept": media_type})
        assert (plan.status_code, plan.json()["code"]) == (406, "PGRST107")


async def test_no_request_gets_at_a_hidden_column(clinic: Clinic) -> None:
    random = Random(7)  # the same requests each time
    statuses: set[int] = set()
    named = 0
    for number in range(REQUESTS):
        asked = any_request(random)
        answer = await clinic.ask(asked.method, asked.path, headers=asked.headers, json=asked.body)
        text = said(answer)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (number, asked, text)
        assert SECRET not in text, (number, asked, text)
        if not asked.names:
            assert not any(name in text for name in HIDDEN), (number, asked, text)
            continue
        named += 1
        other = asked.with_others()
        answer = await clinic.ask(other.method, other.path, headers=other.headers, json=other.body)
        absent = said(answer)
        for name in asked.names:
            text = text.replace(name, other_name(name))
        assert text == absent, (number, asked, other)
    assert named > REQUESTS / 4
    assert statuses >= {200, 201, 400, 403, 406}


async def test_nested_writes_know_no_hidden_columns(clinic: Clinic, database: asyncpg.Connection) -> None:
    back = {"Prefer": "nested=insert, return=representation"}
    eva = {
        "id": 9,
        "name": "Eva",
        "staff!doctor_id": {"id": 9, "login": "eva"},
    }
    made = await clinic.ask("POST", "patients?select=*,cards(*),staff!doctor_id(*)", json=eva, headers=back)
    assert (made.status_code, made.json()) == (
        201,
        [
            {
                "id": 9,
                "name": "Eva",
                "ward": None,
                "doctor_id": 9,
                "cards": [],
                "staff": {"id": 9, "login": "eva"},
            }
        ],
    )
    patient = {"id": 10, "name": "Ned"}
    for path, body, status, code, place in (
        (
            "patients",
            patient | {"staff!mentor_id": {"id": 10, "login": "x"}},
            400,
            "PGRST200",
            "/staff!mentor_id",
        ),
        ("patients", patient | {"staff!doctor_id": {"id": 10}}, 400, "23502", "/staff!doctor_id"),
        ("patients", patient | {"diary": {}, "cards": []}, 403, "MH104", ""),
        ("patients", patient | {"cards": [{"serial": "x"}]}, 403, "MH104", "/cards/0"),
        (
            "staff",
            {"id": 10, "login": "x", "patients!doctor_id": [patient, {"id": 11, "diary": {}}]},
            403,
            "MH104",
            "/patients!doctor_id/1",
        ),
        (
            "staff",
            {"id": 10, "login": "x", "patients!mentor_id": [patient]},
            400,
            "PGRST200",
            "/patients!mentor_id",
        ),
    ):
        refused = await clinic.ask("POST", path, json=body, headers=back)
        assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
        assert refused.json()["path"] == place
        assert SECRET not in said(refused)
    assert await database.fetchval("select count(*) from patients where id >= 10") == 0
    assert await database.fetchval("select count(*) from staff where id >= 10") == 0


async def test_pages_by_cursor_know_no_hidden_column(clinic: Clinic) -> None:
    """No page is ordered by one, none needs one to tell rows apart, and no cursor brings one."""
    paged = {"Prefer": "pagination=cursor"}
    first = await clinic.ask("GET", "patients?order=ward.desc&limit=1", headers=paged)
    assert [row["name"] for row in first.json()] == ["Rosa"]
    target = first.headers["link"].partition("<")[2].partition(">")[0]
    second = await clinic.ask("GET", f"patients{target}")
    assert [row["name"] for row in second.json()] == ["Kurt"]
    for name in ("insurance_no", "diary", "number_of"):
        refused = await clinic.ask("GET", f"patients?order={name}", headers=paged)
        assert (refused.status_code, refused.json()["code"]) == (400, "42703"), refused.text
    keyless = await clinic.ask("GET", "cards?order=colour", headers=paged)
    assert (keyless.status_code, keyless.json()["code"]) == (400, "MH122"), keyless.text
    assert "serial" not in keyless.text
