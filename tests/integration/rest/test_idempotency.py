"""A write with an Idempotency-Key takes effect once, however often it is sent and whatever happens."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from modules.rest import idempotency
from modules.rest.jobs import purge_answers
from monohull.kernel.database.data import AS_LOGIN
from tests.integration.rest.conftest import serving
from tests.integration.rest.test_known import OWN, SERVICE, person
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = {"Prefer": "return=representation"}
TABLES = """
    create table ledger (
        id int generated always as identity primary key,
        owner uuid not null default auth.uid(), amount int not null check (amount > 0), note text
    );
    alter table ledger enable row level security;
    create policy own on ledger using (owner = auth.uid()) with check (owner = auth.uid());
    grant all on ledger to authenticated, service_role;
    create function spend(amount int) returns int language sql as
        $$ insert into ledger (amount) values (amount) returning amount $$;
    create table gate (id int);
    insert into gate values (1);
    grant all on gate to authenticated;
    create function slow() returns int language sql as
        $$ insert into ledger (amount) values (1); select id from gate for update $$;
    create function balance() returns bigint stable language sql as $$ select sum(amount) from ledger $$;
    create function loud() returns int language plpgsql as $$
    begin
        perform set_config('response.status', '202', true);
        perform set_config('response.headers', '[{"X-Note": "é"}]', true);
        insert into ledger (amount) values (7);
        return 7;
    end $$;
"""

WAITS = (
    "select count(*) from pg_locks join pg_stat_activity using (pid) "
    "where locktype = 'transactionid' and not granted and datname = current_database()"
)


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, TABLES)


@pytest_asyncio.fixture(loop_scope="module")
async def till(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve(rest_tx_end="commit-allow-override")


def keyed(key: str, *others: dict[str, str], who: int = 1) -> dict[str, str]:
    merged = person(who) | {"Idempotency-Key": key}
    for other in others:
        merged |= other
    return merged


async def send(
    served: Served, method: str, path: str, headers: dict[str, str], body: Any = None
) -> httpx.Response:
    return await served.client.request(method, f"/rest/v1/{path}", headers=headers, json=body)


def plain(response: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    left = (*OWN, "idempotency-replayed")
    kept = sorted((name, value) for name, value in response.headers.items() if name not in left)
    return response.status_code, response.content, kept


async def count(database: asyncpg.Connection) -> int:
    found: int = await database.fetchval("select count(*) from ledger")
    return found


WRITES: tuple[tuple[str, str, dict[str, str], Any, int], ...] = (
    ("POST", "ledger", ROWS, {"amount": 5}, 201),
    ("POST", "ledger", {}, {"amount": 5}, 201),
    ("POST", "ledger", {"Prefer": "return=headers-only"}, [{"amount": 5}, {"amount": 6}], 201),
    ("POST", "ledger?select=amount", ROWS | {"Accept": "text/csv"}, {"amount": 5, "note": "é,"}, 201),
    (
        "POST",
        "ledger",
        ROWS | {"Accept": "application/vnd.pgrst.object+json"},
        {"amount": 5, "note": "\u2603"},
        201,
    ),
    ("PATCH", "ledger?id=eq.1", ROWS, {"note": "changed"}, 200),
    ("PATCH", "ledger?id=eq.999", {}, {"note": "nobody"}, 204),
    ("DELETE", "ledger?id=eq.1", ROWS, None, 200),
    ("POST", "rpc/spend", {}, {"amount": 9}, 200),
    ("POST", "rpc/loud", {}, None, 202),
)


async def test_the_second_gets_the_answer_of_the_first(till: Served, database: asyncpg.Connection) -> None:
    for method, path, headers, body, status in WRITES:
        await database.execute("truncate ledger restart identity; truncate monohull.idempotent_answers")
        for amount in (1, 2):
            await send(till, "POST", "ledger", person(1), {"amount": amount})
        first = await send(till, method, path, keyed("a-1", headers), body)
        rows = await database.fetch("select * from ledger order by id")
        assert first.status_code == status, (path, first.text)
        assert "idempotency-replayed" not in first.headers
        for key in ("a-1", '"a-1"'):
            again = await send(till, method, path, keyed(key, headers), body)
            assert plain(again) == plain(first), path
            assert again.headers["idempotency-replayed"] == "true"
        assert await database.fetch("select * from ledger order by id") == rows
        other = await send(till, method, path, keyed("a-2", headers), body)
        assert "idempotency-replayed" not in other.headers


async def test_fifty_at_once_make_one_row(
    till: Served, connections: Connections, database: asyncpg.Connection
) -> None:
    async with serving(connections) as second:
        answers = await asyncio.gather(
            *(
                send(served, "POST", "ledger", keyed("at-once", ROWS), {"amount": 5})
                for served in (till, second) * 25
            )
        )
    assert {plain(answer)[:2] for answer in answers} == {(201, answers[0].content)}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49
    assert await count(database) == 1


async def test_a_stricter_isolation_changes_nothing(
    database: asyncpg.Connection, connections: Connections
) -> None:
    await database.execute("alter role authenticated set default_transaction_isolation = 'serializable'")
    try:
        async with serving(connections) as served:
            answers = await asyncio.gather(
                *(send(served, "POST", "ledger", keyed("strict", ROWS), {"amount": 5}) for _ in range(20))
            )
    finally:
        await database.execute("alter role authenticated reset default_transaction_isolation")
    assert {plain(answer)[:2] for answer in answers} == {(201, answers[0].content)}
    assert await count(database) == 1


async def test_a_key_belongs_to_one_request(till: Served, database: asyncpg.Connection) -> None:
    await send(till, "POST", "ledger", keyed("mine", ROWS), {"amount": 5})
    others: tuple[tuple[str, dict[str, str], int], ...] = (
        ("ledger", ROWS, 6),
        ("ledger", {}, 5),
        ("ledger?select=id", ROWS, 5),
        ("rpc/spend", ROWS, 5),
    )
    for path, headers, amount in others:
        refused = await send(till, "POST", path, keyed("mine", headers), {"amount": amount})
        assert (refused.status_code, refused.json()["code"]) == (422, "MH107"), path
    assert await count(database) == 1


async def test_a_key_belongs_to_who_sends_it(till: Served, database: asyncpg.Connection) -> None:
    first = await send(till, "POST", "ledger", keyed("same", ROWS), {"amount": 5})
    other = await send(till, "POST", "ledger", keyed("same", ROWS, who=2), {"amount": 5})
    assert "idempotency-replayed" not in other.headers
    assert first.json()[0]["owner"] != other.json()[0]["owner"]
    assert await count(database) == 2


async def test_what_failed_leaves_the_key_free(till: Served, database: asyncpg.Connection) -> None:
    for _ in range(2):
        refused = await send(till, "POST", "ledger", keyed("retry", ROWS), {"amount": 0})
        assert (refused.status_code, refused.json()["code"]) == (400, "23514")
        assert "idempotency-replayed" not in refused.headers
    done = await send(till, "POST", "ledger", keyed("retry", ROWS), {"amount": 1})
    assert done.status_code == 201
    assert await count(database) == 1


async def test_what_is_rolled_back_is_not_kept(till: Served, database: asyncpg.Connection) -> None:
    wish = {"Prefer": "return=representation,tx=rollback"}
    for _ in range(2):
        answer = await send(till, "POST", "ledger", keyed("dry", wish), {"amount": 1})
        assert answer.status_code == 201
        assert "idempotency-replayed" not in answer.headers
    assert await count(database) == 0
    assert await database.fetchval("select count(*) from monohull.idempotent_answers") == 0


async def test_what_only_reads_keeps_nothing(till: Served, database: asyncpg.Connection) -> None:
    await send(till, "POST", "ledger", person(1), {"amount": 5})
    for method, path, expected in (("GET", "ledger?select=amount", 200), ("POST", "rpc/balance", 200)):
        for _ in range(2):
            answer = await send(till, method, path, keyed("read"), {} if method == "POST" else None)
            assert answer.status_code == expected, answer.text
            assert "idempotency-replayed" not in answer.headers
    assert await database.fetchval("select count(*) from monohull.idempotent_answers") == 0


async def test_what_is_no_key(till: Served, database: asyncpg.Connection) -> None:
    wrong: tuple[tuple[str, ...], ...] = (("",), ('""',), ("x" * 256,), ("caf\u00e9",), ("a\tb",), ("a", "b"))
    for keys in wrong:
        headers = [*person(1).items(), *(("Idempotency-Key", key.encode("latin-1")) for key in keys)]
        refused = await till.client.post("/rest/v1/ledger", headers=headers, json={"amount": 1})  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (400, "MH105"), keys
    assert await count(database) == 0


async def test_an_answer_that_is_too_large_is_not_written(till: Served, database: asyncpg.Connection) -> None:
    long = {"amount": 1, "note": "x" * (idempotency.MAX_ANSWER_BYTES + 1)}
    refused = await send(till, "POST", "ledger", keyed("long", ROWS), long)
    assert (refused.status_code, refused.json()["code"]) == (422, "MH108")
    assert await count(database) == 0
    assert (await send(till, "POST", "ledger", keyed("long"), long)).status_code == 201


async def test_one_that_is_not_answered_for_long(
    till: Served, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT", (*AS_LOGIN, ("lock_timeout", "50ms")))
    async with database.transaction():
        await database.execute("select from gate for update")
        task = asyncio.create_task(send(till, "POST", "rpc/slow", keyed("slow")))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await database.fetchval(WAITS):  # noqa: ASYNC110 nothing tells of it
                await asyncio.sleep(0.02)
        refused = await send(till, "POST", "rpc/slow", keyed("slow"))
        assert (refused.status_code, refused.json()["code"]) == (409, "MH106")
        assert refused.headers["retry-after"] == "1"
    first = await task
    assert first.status_code == 200, first.text
    assert plain(await send(till, "POST", "rpc/slow", keyed("slow"))) == plain(first)
    assert await count(database) == 1


async def test_an_answer_is_forgotten_in_the_end(till: Served, database: asyncpg.Connection) -> None:
    for key in ("old", "older", "new"):
        await send(till, "POST", "ledger", keyed(key, ROWS), {"amount": 5})
    await database.execute(
        "update monohull.idempotent_answers set expires_at = now() - interval '1 s' where key <> 'new'"
    )
    again = await send(till, "POST", "ledger", keyed("old", ROWS), {"amount": 6})
    assert "idempotency-replayed" not in again.headers
    await purge_answers.function(till.runtime)
    kept = await database.fetch("select key from monohull.idempotent_answers order by key")
    assert [row["key"] for row in kept] == ["new", "old"]


async def test_a_client_that_leaves_takes_no_effect_along(till: Served, database: asyncpg.Connection) -> None:
    task = asyncio.create_task(send(till, "POST", "ledger", keyed("left", ROWS), {"amount": 5}))
    await asyncio.sleep(0.004)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    answer = await send(till, "POST", "ledger", keyed("left", ROWS), {"amount": 5})
    assert answer.status_code == 201
    assert await count(database) == 1


async def test_what_was_remembered_of_writes_does_not_pass_a_key_by(
    till: Served, database: asyncpg.Connection
) -> None:
    for _ in range(3):
        await send(till, "POST", "ledger", person(1) | ROWS, {"amount": 5})
    for _ in range(3):
        await send(till, "POST", "ledger", keyed("known", ROWS), {"amount": 5})
    assert await count(database) == 4


async def test_the_service_role_may_send_keys_too(till: Served, database: asyncpg.Connection) -> None:
    body = {"amount": 5, "owner": "00000000-0000-0000-0000-000000000009"}
    headers = SERVICE | {"Idempotency-Key": "s"} | ROWS
    answers = [await send(till, "POST", "ledger", headers, body) for _ in range(2)]
    assert plain(answers[0]) == plain(answers[1])
    assert await count(database) == 1


async def test_nobody_may_read_what_is_kept(till: Served, database: asyncpg.Connection) -> None:
    await send(till, "POST", "ledger", keyed("secret", ROWS), {"amount": 5})
    for role in ("anon", "authenticated", "service_role"):
        await database.execute(f"set role {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.fetch("select * from monohull.idempotent_answers")
        await database.execute("reset role")


@pytest.mark.crash
async def test_killed_between_commit_and_answer(
    database: asyncpg.Connection, connections: Connections
) -> None:
    """COMMIT waits in a deferred trigger while the process is killed, and goes on when nobody is there."""
    await database.execute("""
        create function wait() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock(4711); return null; end $$;
        create constraint trigger wait after insert on ledger deferrable initially deferred
            for each row execute function wait()
    """)
    urls = ("owner_url", "data_url", "redis_url")
    message = {
        "connections": {name: str(getattr(connections, name)) for name in urls},
        "path": "/rest/v1/ledger",
        "headers": keyed("killed", ROWS),
        "body": {"amount": 5},
    }
    await database.execute("select pg_advisory_lock(4711)")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.integration.rest.writer"),
        stdin=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": "."},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode())
    process.stdin.close()
    waits = (
        "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711 and not granted "
        "and database = (select oid from pg_database where datname = current_database())"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await database.fetchval(waits):  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.02)
    process.kill()
    await process.wait()
    await database.execute("select pg_advisory_unlock(4711)")
    async with serving(connections) as served:
        again = await send(served, "POST", "ledger", keyed("killed", ROWS), {"amount": 5})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()[0]["amount"] == 5
    assert await count(database) == 1
