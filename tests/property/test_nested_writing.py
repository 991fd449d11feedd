"""Random trees of rows are found in the database as they were sent, each under its own parent.

A tree is made from a number, as the requests of `test_reading` are. It is compared with what the answer
says, and with what plain SQL finds when it follows the foreign keys.
"""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest

from tests.application import running_app, service_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monohull.kernel.home import Connections
    from tests.application import Served

TREES: Final = 120
DEPTH: Final = 2
SERVICE: Final = {"Authorization": f"Bearer {service_key()}"}
TABLES: Final = """
    create table kinds (id uuid primary key default gen_random_uuid(), name text);
    create table boxes (
        id bigint generated always as identity primary key, name text, kind_id uuid references kinds,
        box_id bigint references boxes
    );
    create table things (box_id bigint references boxes, n numeric, name text, primary key (box_id, n));
    create table notes (
        id int generated always as identity primary key, box_id bigint, n numeric, text text,
        foreign key (box_id, n) references things
    );
    create table marks (id int generated always as identity primary key, word text);
    create table box_marks (box_id bigint references boxes, mark_id int references marks,
        primary key (box_id, mark_id));
    create table seals (box_id bigint primary key references boxes, wax text);
    -- what comes back in another order, or with another key, is still each row's own
    create function other_key() returns trigger language plpgsql as $$
        begin if new.word like 'a%' then new.id = new.id + 100000; end if; return new; end $$;
    create trigger other_key before insert on marks for each row execute function other_key();
    do $$ declare t text; begin
        foreach t in array array['kinds', 'boxes', 'things', 'notes', 'marks', 'box_marks', 'seals'] loop
            execute format('comment on table %I is ''@public''', t);
        end loop;
    end $$;
"""
OWN: Final = "name,kind:kinds(name),things(n,name,notes(text)),marks(word),seals(wax)"


def select(depth: int = DEPTH) -> str:
    return f"{OWN},boxes({select(depth - 1) if depth else 'name'})"


def draw_box(random: Random, depth: int = DEPTH) -> dict[str, Any]:
    """Return a box with what is in it; every key has a value, so that an answer can be compared with it."""

    def some(most: int) -> range:
        return range(random.choice((0, 0, 1, most)))

    def word() -> str:
        return "".join(random.choices("abc", k=2))  # the same ones come again

    numbers = random.sample(("1", "2", "10", "0.5"), 4)
    return {
        "name": word(),
        "kind": random.choice((None, {"name": word()})),
        "things": [
            {"n": float(numbers[at]), "name": word(), "notes": [{"text": word()} for _ in some(3)]}
            for at in some(4)
        ],
        "marks": [{"word": word()} for _ in some(3)],
        "seals": random.choice((None, {"wax": word()})),
        "boxes": [draw_box(random, depth - 1) for _ in some(3)] if depth else [],
    }


def thinned(random: Random, box: dict[str, Any]) -> dict[str, Any]:
    """Return a box as somebody sends it: keys in any order, and what says nothing perhaps left out."""
    items = [(key, value) for key, value in box.items() if value or random.random() < 0.5]
    random.shuffle(items)
    sent = dict(items)
    if "boxes" in sent:
        sent["boxes"] = [thinned(random, inner) for inner in sent["boxes"]]
    return sent


def plain(value: Any) -> Any:
    """Return a tree without the order of its lists."""
    if isinstance(value, list):
        return sorted((plain(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


async def found(database: asyncpg.Connection, tops: Iterable[int]) -> list[dict[str, Any]]:
    """Return the trees below boxes, as foreign keys lead from row to row."""

    async def rows(sql: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await database.fetch(sql, *values)]

    async def thing(box: int, n: Any, name: str) -> dict[str, Any]:
        notes = await rows("select text from notes where box_id = $1 and n = $2", box, n)
        return {"n": float(n), "name": name, "notes": notes}

    async def box(key: int) -> dict[str, Any]:
        [own] = await rows("select * from boxes where id = $1", key)
        kinds = await rows("select name from kinds where id = $1", own["kind_id"])
        things = await rows("select n, name from things where box_id = $1", key)
        words = "select word from marks where id in (select mark_id from box_marks where box_id = $1)"
        seals = await rows("select wax from seals where box_id = $1", key)
        inner = await rows("select id from boxes where box_id = $1", key)
        return {
            "name": own["name"],
            "kind": kinds[0] if kinds else None,
            "things": [await thing(key, one["n"], one["name"]) for one in things],
            "marks": await rows(words, key),
            "seals": seals[0] if seals else None,
            "boxes": [await box(one["id"]) for one in inner],
        }

    return [await box(key) for key in tops]


async def check(served: Served, database: asyncpg.Connection, number: int) -> int:
    random = Random(number)
    boxes = [draw_box(random) for _ in range(random.choice((1, 1, 2, 5)))]
    bodies = [thinned(random, box) for box in boxes]
    is_list = len(bodies) > 1 or random.random() < 0.5
    answer = await served.client.post(
        f"/rest/v1/boxes?select=id,{select()}",
        headers=SERVICE | {"Prefer": "nested=insert, return=representation"},
        json=bodies if is_list else bodies[0],
    )
    assert answer.status_code == 201, (number, answer.text)
    shown = answer.json()
    tops = [row.pop("id") for row in shown]
    assert [plain(row) for row in shown] == [plain(box) for box in boxes], number
    assert plain(await found(database, tops)) == plain(boxes), number
    return len(tops)


@pytest.mark.asyncio
async def test_trees_are_found_as_they_were_sent(connections: Connections) -> None:
    database = await asyncpg.connect(connections.owner_url)
    try:
        await database.execute(TABLES)
        async with running_app(connections) as served:
            sent = sum([await check(served, database, number) for number in range(TREES)])
        tops = await database.fetchval("select count(*) from boxes where box_id is null")
        assert tops == sent > TREES
        orphans = await database.fetchval(
            "select count(*) from kinds where id not in (select kind_id from boxes where kind_id is not null)"
        )
        assert orphans == 0
    finally:
        await database.close()
