"""Reads, writes and calls with the official client, unmodified; runs in the client's own environment.

Each function that begins with ``test_`` leaves the rows as it found them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from typing import Any

from postgrest import AsyncPostgrestClient, CountMethod, ReturnMethod, SyncPostgrestClient
from postgrest.exceptions import APIError

URL = f"{os.environ['MONOHULL_URL']}/rest/v1"


def client(key: str) -> SyncPostgrestClient:
    headers = {"apikey": os.environ["ANON_KEY"], "Authorization": f"Bearer {os.environ[key]}"}
    return SyncPostgrestClient(URL, headers=headers)


anon, service, ada = client("ANON_KEY"), client("SERVICE_KEY"), client("ADA_TOKEN")


def goods(*columns: str) -> Any:
    return anon.from_("goods").select(*(columns or ("id",))).order("id")


def ids(query: Any) -> list[int]:
    return [row["id"] for row in query.execute().data]


def same(one: Any, other: Any) -> None:
    if one != other:
        raise AssertionError(f"{one!r} is not {other!r}")


def refused(query: Any, code: str) -> None:
    try:
        found = query.execute()
    except APIError as error:
        same(error.code, code)
    else:
        raise AssertionError(f"not refused: {found.data!r}")


def test_comparisons() -> None:
    same(ids(goods().eq("id", 2)), [2])
    same(ids(goods().neq("id", 2)), [1, 3, 4])
    same(ids(goods().gt("price", 4.5)), [3, 4])
    same(ids(goods().gte("price", 4.5).lt("price", 30)), [1, 3])
    same(ids(goods().in_("name", ["iron hook", "crate, (big)"])), [2, 3])
    same(ids(goods().is_("about", "null")), [3])
    same(ids(goods().not_.is_("maker_id", "null")), [1, 2, 3])
    same(ids(goods().match({"maker_id": 1, "name": "iron hook"})), [2])
    same(ids(goods().like("name", "%o%")), [1, 2])
    same(ids(goods().ilike("name", "IRON%")), [2])
    same(ids(goods().like_any_of("name", "rope*,*hook")), [1, 2])
    same(ids(goods().contains("tags", ["brown"])), [1, 4])
    same(ids(goods().contained_by("tags", ["short", "x"])), [2, 3])
    same(ids(goods().overlaps("tags", ["long", "short"])), [1, 2])
    same(ids(goods().contains("about", {"kind": "hook"})), [2])
    same(ids(goods().range_adjacent("stock", (19, 30))), [2])
    same(ids(goods().text_search("name", "'rope' | 'hook'", options={"config": "english"})), [1, 2])
    same(ids(goods().or_("id.eq.1,and(price.gt.10,price.lt.20)")), [1, 3])
    same(ids(goods().eq("about->>kind", "rope")), [1])


def test_embedding() -> None:
    same(goods("id", "makers(name)").eq("id", 3).execute().data, [{"id": 3, "makers": {"name": "Grace"}}])
    same(ids(goods("id", "makers!inner(name)").eq("makers.name", "Ada")), [1, 2])
    found = anon.from_("makers").select("name,goods(id)").order("id", desc=True, foreign_table="goods")
    found = found.limit(1, foreign_table="goods").eq("id", 1)
    same(found.execute().data, [{"name": "Ada", "goods": [{"id": 2}]}])


def test_pages_and_counts() -> None:
    same(ids(goods().range(1, 2)), [2, 3])
    counted = anon.from_("goods").select("id", count=CountMethod.exact).limit(1).execute()
    same((counted.count, len(counted.data)), (4, 1))
    same(anon.from_("goods").select("id", count=CountMethod.exact, head=True).execute().count, 4)


def test_shapes() -> None:
    same(goods("name").eq("id", 2).single().execute().data, {"name": "iron hook"})
    refused(goods().single(), "PGRST116")
    same(goods().eq("id", 99).maybe_single().execute(), None)
    same(goods("id", "price").lt("id", 3).csv().execute().data, "id,price\n1,4.50\n2,0.75")


def test_refusals() -> None:
    refused(anon.from_("goodss").select("*"), "PGRST205")
    refused(goods("nothing"), "42703")
    refused(goods("id", "nothing(id)"), "PGRST200")
    refused(anon.schema("private").from_("goods").select("*"), "PGRST106")


def test_row_security() -> None:
    same(anon.from_("shops").select("city").execute().data, [])
    same(ada.from_("shops").select("city").execute().data, [{"city": "London"}])
    refused(ada.from_("shops").insert({"id": 9}), "42501")


def test_writes() -> None:
    makers = service.from_("makers")
    same(makers.insert({"id": 10, "name": "Ten"}, returning=ReturnMethod.minimal).execute().data, [])
    both = makers.insert(
        [{"id": 11, "name": "Elf"}, {"id": 12, "name": "Zwölf"}], count=CountMethod.exact
    ).execute()
    same((both.count, [row["name"] for row in both.data]), (2, ["Elf", "Zwölf"]))
    refused(makers.insert({"id": 10, "name": "Again"}), "23505")
    same(makers.upsert({"id": 10, "name": "Zehn"}).execute().data[0]["name"], "Zehn")
    same(makers.upsert({"id": 10, "name": "No"}, ignore_duplicates=True).execute().data, [])
    same(
        makers.upsert({"name": "Zehn", "since": "2026-01-01"}, on_conflict="name").execute().data[0]["id"], 10
    )
    same(makers.update({"since": "2001-01-01"}).gte("id", 11).execute().data[0]["since"], "2001-01-01")
    same(makers.update({"since": None}).eq("id", 99).execute().data, [])
    same(len(makers.delete().gte("id", 10).execute().data), 3)


def test_calls() -> None:
    same(anon.rpc("add", {"a": 2, "b": 3}).execute().data, 5)
    same(anon.rpc("add", {"a": 2}, get=True).execute().data, 3)
    found = anon.rpc("goods_of", {"maker": "Ada"}).select("id").gt("price", 1)
    same(found.execute().data, [{"id": 1}])
    refused(anon.rpc("ad", {"a": 1}), "PGRST202")


def test_asynchronous() -> None:
    async def ask() -> Any:
        async with AsyncPostgrestClient(URL, headers={"apikey": os.environ["ANON_KEY"]}) as there:
            return (await there.from_("goods").select("id").eq("id", 1).execute()).data

    same(asyncio.run(ask()), [{"id": 1}])


def main() -> int:
    failed = 0
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            try:
                test()
            except Exception:  # noqa: BLE001  told, and the next one is run
                failed += 1
                traceback.print_exc()
    return failed


if __name__ == "__main__":
    sys.exit(main())
