"""``/rest/v1/openapi.json`` and ``postman.json``: what each caller is told, and when it is made anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.application import Served, service_key
from tests.integration.rest.conftest import serving
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.home import Connections
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"Authorization": f"Bearer {service_key()}"}
DOCUMENT = "/rest/v1/openapi.json"

TABLES = """
create type public.mood as enum ('fine', 'bad');
create domain public.percent as integer check (value between 0 and 100);
create type public.spot as (x integer, y numeric(4,1));
create table public.gauges (
  id bigint generated always as identity primary key,
  label varchar(20) not null check (label ~ '^[a-z]+$'),
  level public.percent not null default 50,
  mood public.mood,
  moods public.mood[] not null default '{}',
  at public.spot,
  span int4range,
  extra jsonb not null default '{"a": 1}',
  price numeric(6,2) check (price > 0),
  size text not null default 'small' check (size in ('small', 'large')),
  doubled integer generated always as (level * 2) stored,
  secret text,
  seen_at timestamptz not null default now()
);
comment on table public.gauges is E'A gauge.\\n@public\\n@example {"label": "boiler", "mood": "bad"}';
comment on column public.gauges.label is E'Its name.\\n@example boiler\\n@example 42';
comment on column public.gauges.level is E'In percent.\\n@example 75\\n@example nonsense';
create table public.closed (id integer primary key);
create view public.levels with (security_invoker = on) as select id, level from public.gauges;
create function public.louder(gauge bigint, by integer default 1) returns public.gauges language sql stable
  as $$ select * from public.gauges where id = gauge $$;
create function public.reset() returns void language sql as $$ $$;
comment on function public.louder(bigint, integer) is E'Louder.\\nBy so much.\\n@example {"gauge": 1}';
grant select (id, label, level), insert (label) on public.gauges to anon;
grant select on public.gauges, public.levels to authenticated;
grant all on all tables in schema public to service_role;
revoke all on public.gauges, public.levels from anon;
grant select (id, label, level), insert (label) on public.gauges to anon;
revoke execute on function public.reset() from public, anon, authenticated;
"""


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    return (TABLES,)


@pytest_asyncio.fixture(loop_scope="module")
async def served(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve()


async def described(served: Served, path: str = DOCUMENT, **headers: str) -> Any:
    answer = await served.client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_types_defaults_checks_and_examples(served: Served) -> None:
    document = await described(served, **SERVICE)
    OpenAPIV31SpecValidator(document).validate()
    schemas = document["components"]["schemas"]
    row = schemas["gauges"]
    columns = row["properties"]
    assert row["description"] == "A gauge."
    assert row["examples"] == [{"label": "boiler", "mood": "bad"}]
    assert set(row["required"]) == set(columns)
    assert columns["id"] == {
        "type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1, "readOnly": True,
    }  # fmt: skip
    assert columns["label"] == {
        "type": "string",
        "maxLength": 20,
        "pattern": "^[a-z]+$",
        "description": "Its name.",
        "examples": ["boiler", "42"],
    }
    assert columns["level"] == {
        "$ref": "#/components/schemas/percent.domain",
        "description": "In percent.",
        "default": 50,
        "examples": [75],
    }
    assert schemas["percent.domain"]["maximum"] == 100
    mood = {"$ref": "#/components/schemas/mood.enum"}
    assert columns["mood"] == {"anyOf": [mood, {"type": "null"}]}
    assert schemas["mood.enum"] == {"type": "string", "enum": ["fine", "bad"]}
    assert columns["moods"]["items"] == {"anyOf": [mood, {"type": "null"}]}
    assert schemas["spot.composite"]["properties"]["y"] == {
        "type": ["number", "null"], "format": "decimal", "minimum": -999.9, "maximum": 999.9,
    }  # fmt: skip
    assert columns["span"] == {"type": ["string", "null"], "format": "int4range"}
    assert columns["extra"] == {"default": {"a": 1}}
    assert columns["price"]["exclusiveMinimum"] == 0
    assert columns["price"]["maximum"] == 9999.99
    assert columns["size"] == {"type": "string", "enum": ["small", "large"], "default": "small"}
    assert columns["doubled"]["readOnly"] is True
    assert columns["seen_at"] == {"type": "string", "format": "date-time"}
    insert = schemas["gauges.insert"]
    assert insert["required"] == ["label"]
    assert insert["properties"].keys().isdisjoint({"id", "doubled"})
    assert "levels.insert" in schemas


async def test_operations_and_functions(served: Served) -> None:
    document = await described(served, **SERVICE)
    paths = document["paths"]
    assert set(paths["/gauges"]) == {"get", "post", "patch", "delete"}  # no PUT: nobody gives it its key
    assert "put" in paths["/closed"]
    assert set(paths["/rpc/louder"]) == {"get", "post"}
    assert set(paths["/rpc/reset"]) == {"post"}
    call = paths["/rpc/louder"]["post"]
    assert (call["summary"], call["description"]) == ("Louder.", "Louder.\nBy so much.")
    content = call["requestBody"]["content"]["application/json"]
    assert content["example"] == {"gauge": 1}
    assert content["schema"]["required"] == ["gauge"]
    assert [one.get("required") for one in paths["/rpc/louder"]["get"]["parameters"][:2]] == [True, False]
    assert paths["/_batch"]["post"]["operationId"] == "batch"
    names = {one["$ref"].rpartition("/")[2] for one in paths["/gauges"]["patch"]["parameters"]}
    assert {"gauges.label", "gauges.and", "Idempotency-Key", "If-Match", "Prefer.update"} <= names
    assert document["security"][0] == {}
    assert document["components"]["securitySchemes"]["apikey"]["name"] == "apikey"


async def test_each_role_is_told_what_it_may_know(served: Served) -> None:
    anonymous = await described(served)
    schemas = anonymous["components"]["schemas"]
    assert set(schemas["gauges"]["properties"]) == {"id", "label", "level"}
    assert set(schemas["gauges.insert"]["properties"]) == {"label"}
    assert set(anonymous["paths"]["/gauges"]) == {"get", "post"}
    assert not {"/closed", "/levels", "/rpc/reset"} & set(anonymous["paths"])
    everything = await described(served, **SERVICE)
    assert {"/closed", "/levels", "/rpc/reset"} <= set(everything["paths"])


async def test_a_document_is_kept_and_known(served: Served, database: asyncpg.Connection) -> None:
    first = await served.client.get(DOCUMENT, headers=SERVICE)
    tag = first.headers["etag"]
    known = await served.client.get(DOCUMENT, headers={**SERVICE, "If-None-Match": tag})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    head = await served.client.head(DOCUMENT, headers=SERVICE)
    assert (head.status_code, head.content, head.headers["content-length"]) == (
        200, b"", first.headers["content-length"],
    )  # fmt: skip
    await database.execute("comment on column public.gauges.secret is 'Told now.'")
    answer = await eventually(
        lambda: served.client.get(DOCUMENT, headers={**SERVICE, "If-None-Match": tag}),
        lambda found: found.status_code == 200,
    )
    assert "Told now." in answer.text
    assert answer.headers["etag"] != tag


async def test_many_who_ask_at_once_wait_for_one(connections: Connections) -> None:
    async with serving(connections) as served:
        answers = await asyncio.gather(*(served.client.get(DOCUMENT, headers=SERVICE) for _ in range(20)))
        assert {answer.headers["etag"] for answer in answers} == {answers[0].headers["etag"]}
        scraped = (await served.client.get("/metrics")).text
        line = next(
            one
            for one in scraped.splitlines()
            if one.startswith("monohull_rest_documents_total") and 'outcome="made"' in one
        )
        assert line.endswith(" 1.0")


async def test_what_is_refused(served: Served, connections: Connections) -> None:
    for method, status, code in (("POST", 405, "PGRST117"), ("DELETE", 405, "PGRST117")):
        refused = await served.client.request(method, DOCUMENT, headers=SERVICE)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (await served.client.options(DOCUMENT)).headers["allow"] == "OPTIONS,GET,HEAD"
    wrong = await served.client.get(DOCUMENT, headers={"Accept": "text/csv"})
    assert (wrong.status_code, wrong.json()["code"]) == (406, "PGRST107")
    invalid = await served.client.get(DOCUMENT, headers={"If-None-Match": "nothing"})
    assert invalid.status_code == 400
    async with serving(connections, rest_openapi_mode="disabled") as other:
        off = await other.client.get(DOCUMENT, headers=SERVICE)
        assert (off.status_code, off.json()["code"]) == (404, "PGRST126")
    async with serving(connections, rest_api_key_required="true") as other:
        assert (await other.client.get(DOCUMENT)).status_code == 401
        document = await described(other, **SERVICE)
        assert document["security"] == [{"apikey": []}, {"bearer": []}]


async def test_a_function_before_each_request_has_the_say(
    connections: Connections, database: asyncpg.Connection
) -> None:
    await database.execute(
        "create function public.stop() returns void language plpgsql as $$ begin "
        "if current_setting('request.headers')::json ->> 'x-stop' is not null then "
        "raise insufficient_privilege using message = 'stop'; end if; end $$"
    )
    async with serving(connections, rest_pre_request="public.stop") as served:
        assert (await served.client.get(DOCUMENT, headers=SERVICE)).status_code == 200
        stopped = await served.client.get(DOCUMENT, headers={**SERVICE, "X-Stop": "1"})
        assert (stopped.status_code, stopped.json()["message"]) == (403, "stop")


async def test_schemas_are_chosen_by_profile(connections: Connections, database: asyncpg.Connection) -> None:
    await database.execute(
        "create schema second; create table second.only (id integer);"
        "grant usage on schema second to service_role; grant select on second.only to service_role"
    )
    async with serving(connections, rest_schemas="public,second") as served:
        document = await described(served, **{**SERVICE, "Accept-Profile": "second"})
        assert "/only" in document["paths"]
        assert document["components"]["parameters"]["Accept-Profile"]["schema"]["enum"] == [
            "public",
            "second",
        ]


async def test_a_postman_collection(served: Served) -> None:
    collection = await described(served, "/rest/v1/postman.json", **SERVICE)
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    gauges = next(folder for folder in collection["item"] if folder["name"] == "gauges")
    methods = [item["request"]["method"] for item in gauges["item"]]
    assert methods == ["GET", "POST", "PATCH", "DELETE"]
    assert '"label": "boiler"' in gauges["item"][1]["request"]["body"]["raw"]
    assert {one["key"] for one in collection["variable"]} == {"baseUrl", "apikey", "token"}
