"""``/platform/v1/audit``: find entries, page through them, take them away."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest

from modules.audit.writer import Writer
from monohull.kernel.outbox import publish
from tests.application import anon_key, running_app, service_key
from tests.integration.audit.log import CaseOpened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections
    from tests.application import Served

PATH = "/platform/v1/audit"
SERVICE = {"apikey": service_key()}


@pytest.fixture
async def there(connections: Connections) -> AsyncIterator[Served]:
    """Twelve entries about three cases."""
    async with running_app(connections) as served:
        for number in range(12):
            async with served.runtime.database.unit_of_work() as work:
                event = CaseOpened(case_id=f"case-{number % 3}", title=f"=title {number}")
                await publish(work, event)
        await write(served)
        yield served


async def write(served: Served) -> None:
    writer = Writer(served.runtime.database, served.runtime.observer)
    async with served.runtime.database.connection() as connection:
        while await writer.add_batch(connection):
            pass


async def ask(served: Served, path: str = PATH, **parameters: Any) -> Any:
    answer = await served.client.get(path, params=parameters, headers=SERVICE)
    assert answer.status_code == 200, answer.text
    return answer


async def test_pages_meet_without_a_gap(there: Served) -> None:
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await ask(there, limit=5, **cursor)).json()
        seen += [entry["sequence"] for entry in page["entries"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
        async with there.runtime.database.unit_of_work() as work:
            await publish(work, CaseOpened(case_id="late"))  # what comes meanwhile disturbs no page
        await write(there)
    assert seen == list(range(12, 0, -1))


async def test_a_page_of_large_entries_ends_early(there: Served) -> None:
    async with there.runtime.database.unit_of_work() as work:
        for number in range(5):
            await publish(work, CaseOpened(case_id=f"large-{number}", title="x" * 1_500_000))
    await write(there)
    seen: list[int] = []
    sizes: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await ask(there, object="case", limit=200, **cursor)).json()
        seen += [entry["sequence"] for entry in page["entries"]]
        sizes.append(len(page["entries"]))
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert sizes == [3, 14], "three of them pass the limit of 4 MB"
    assert seen == list(range(17, 0, -1))
    assert len((await ask(there, f"{PATH}/export")).text.splitlines()) == 17


async def test_each_filter_narrows(there: Served) -> None:
    async def count(**parameters: Any) -> int:
        return len((await ask(there, limit=200, **parameters)).json()["entries"])

    (entry, *_) = (await ask(there)).json()["entries"]
    assert entry["after"] == {"case_id": "case-2", "title": "=title 11", "password": None}
    assert await count() == 12
    assert await count(object="case:case-1") == 4
    assert await count(object="case") == 12
    assert await count(object="user") == 0
    assert await count(action="test.case_opened") == 12
    assert await count(action="test.*") == 12
    assert await count(action="tes.*") == 0
    assert await count(action="test.case_opened", object="case:case-1", actor="nobody") == 0
    assert await count(request_id="none") == 0
    assert await count(since=entry["recorded_at"]) >= 1
    assert await count(until="2020-01-01T00:00:00Z") == 0


async def test_an_entry_shows_its_place_in_the_chain(there: Served) -> None:
    entries = (await ask(there, limit=2)).json()["entries"]
    assert entries[0]["previous_hash"] == entries[1]["hash"]
    assert len(entries[0]["hash"]) == 64


async def test_an_export_has_everything_and_is_an_entry_itself(there: Served) -> None:
    answer = await ask(there, f"{PATH}/export", object="case:case-1")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = answer.text.splitlines()
    assert len(lines) == 4
    answer = await ask(there, f"{PATH}/export", format="csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["sequence"] for row in rows] == [str(number) for number in range(1, 13)]
    await write(there)
    noted = (await ask(there, action="audit.log_exported")).json()["entries"]
    assert [entry["after"]["format"] for entry in noted] == ["csv", "jsonl"]
    assert noted[1]["after"]["object"] == "case:case-1"


async def test_a_spreadsheet_meets_no_formula(there: Served) -> None:
    async with there.runtime.database.connection() as connection:
        await connection.execute(
            "insert into monohull.audit_queue (source, content) values ('event', "
            """'{"name": "a.b", "origin": {"user_agent": "=HYPERLINK(1)"}}')"""
        )
    await write(there)
    rows = list(csv.DictReader(io.StringIO((await ask(there, f"{PATH}/export", format="csv")).text)))
    assert rows[-1]["user_agent"] == "'=HYPERLINK(1)"


UNREADABLE = [
    ({"cursor": "x"}, "cursor"),
    ({"cursor": "99999999999999999-1"}, "cursor"),
    ({"action": "Not a name"}, "action"),
    ({"action": "*"}, "action"),
    ({"limit": "0"}, "limit"),
    ({"limit": "201"}, "limit"),
    ({"since": "yesterday"}, ""),
    ({"since": "2026-01-01T00:00:00"}, "zone"),
    ({"actor": "a\0b"}, "zero byte"),
]


async def test_what_cannot_be_read_is_refused(there: Served) -> None:
    for parameters, says in UNREADABLE:
        for path in (PATH, f"{PATH}/export"):
            if path.endswith("export") and parameters.keys() & {"cursor", "limit"}:
                continue
            answer = await there.client.get(path, params=parameters, headers=SERVICE)
            assert answer.status_code == 400, (path, parameters, answer.text)
            assert says in answer.text, (path, parameters)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/export"])
async def test_only_who_may_reads_it(there: Served, path: str) -> None:
    assert (await there.client.get(path)).status_code == 401
    assert (await there.client.get(path, headers={"apikey": anon_key()})).status_code in (401, 403)
    body = {"name": "auditor", "permissions": ["audit.entries:read"]}
    key = (await there.client.post("/platform/v1/api-keys", json=body, headers=SERVICE)).json()["key"]
    assert (await there.client.get(path, headers={"apikey": key})).status_code == 200
    body = {"name": "other", "permissions": ["api_keys.keys:read"]}
    key = (await there.client.post("/platform/v1/api-keys", json=body, headers=SERVICE)).json()["key"]
    refused = await there.client.get(path, headers={"apikey": key})
    assert refused.status_code == 403
    assert "audit.entries:read" in refused.text
