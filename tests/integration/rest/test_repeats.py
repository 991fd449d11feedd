"""Cached reads that come again byte for byte: answered unread, and as if they had been read."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from modules.auth.tokens import TokenCodec
from modules.rest.assembly import data_service
from modules.rest.gate import Gate
from monohull.kernel import clock
from monohull.kernel.observation import RequestFinished
from monohull.kernel.server import repeats
from monohull.kernel.server.connection import Connection
from monohull.kernel.server.heads import MAX_HEAD_BYTES
from monohull.kernel.server.repeats import MAX_REPEAT_BYTES
from tests.application import JWT_SECRET, service_key
from tests.integration.kernel.test_server_connections import Client
from tests.integration.kernel.test_server_connections import serving as listening
from tests.integration.rest.conftest import UNHURRIED
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.observation import Observation
    from tests.application import Served
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

SQL = """
create table public.goods (id int primary key, name text);
alter table goods enable row level security;
create policy all_see on goods for select using (true);
insert into goods select n, 'good ' || n from generate_series(1, 20) as n;
grant select on goods to anon, authenticated, service_role;
create trigger monohull_cache after insert or update or delete or truncate on public.goods
    for each statement execute function monohull.tell_of_rows('60');
alter table public.goods enable always trigger monohull_cache;

create table public.plain (id int primary key);
insert into plain select generate_series(1, 20);
create table public.notes (id int primary key, owner uuid, body text);
alter table notes enable row level security;
create policy own on notes for select to authenticated using (owner = (select auth.uid()));
insert into notes
    select n, ('00000000-0000-0000-0000-0000000000' || n)::uuid, 'of ' || n from (values (20), (21)) as v (n);
update notes set id = 1 where id = 20;
update notes set id = 2 where id = 21;
grant select on plain, notes to authenticated, service_role;
"""
SERVICE = f"Authorization: Bearer {service_key()}\r\n"
OWNER = "00000000-0000-0000-0000-0000000000"
NEW_EACH_TIME = frozenset({"x-request-id", "traceparent", "date", "cache-status"})
Whole = tuple[int, dict[str, str], bytes]


class Watched:
    """An application behind our own server, and how many requests it read."""

    def __init__(self, served: Served, server: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.served, self.server, self.client = served, server, client
        self.read = 0
        self.finished: list[RequestFinished] = []
        served.runtime.observer.add_reader(self._note, RequestFinished)
        original = Connection._start

        def start(connection: Connection, *parts: Any) -> None:
            self.read += 1
            original(connection, *parts)

        monkeypatch.setattr(Connection, "_start", start)

    def _note(self, observation: Observation) -> None:
        assert isinstance(observation, RequestFinished)
        self.finished.append(observation)

    async def warm(self, request: bytes) -> Whole:
        """Ask until it is answered unread; return that answer."""
        for _ in range(10):
            before = self.read
            answer = await self.client.ask(request)
            if self.read == before:
                return answer
        raise AssertionError("it is read each time")

    async def is_read(self, request: bytes) -> tuple[bool, Whole]:
        before = self.read
        answer = await self.client.ask(request)
        return self.read > before, answer


def get(path: str, headers: str = SERVICE) -> bytes:
    return f"GET /rest/v1/{path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode()


def person(number: int, **more: Any) -> str:
    claims = {"sub": f"00000000-0000-0000-0000-{number:012d}", "role": "authenticated", "exp": 4_000_000_000}
    token = TokenCodec(secret=JWT_SECRET).sign(claims | {"aud": "authenticated"} | more)
    return f"Authorization: Bearer {token}\r\n"


def kept(answer: Whole) -> Whole:
    status, headers, body = answer
    return status, {name: value for name, value in headers.items() if name not in NEW_EACH_TIME}, body


@pytest_asyncio.fixture(loop_scope="module")
async def served(standing: Standing, beats: None) -> Served:  # noqa: ARG001 as often as ever
    await standing.fresh((SQL,))
    served = await standing.serve(rest_rate_limit="0", **UNHURRIED)
    await eventually(lambda: data_service(served.runtime).cache.line.is_fresh)
    return served


@pytest_asyncio.fixture(loop_scope="module")
async def own(served: Served, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    async with listening(served.app) as server:
        yield Watched(served, server, await server.connect(), monkeypatch)
        assert served.runtime.lifecycle.in_flight == 0
    lifecycle = served.runtime.lifecycle
    lifecycle.is_leaving = lifecycle.is_draining = False


async def test_the_answer_is_that_of_a_request_that_is_read(own: Watched) -> None:
    request = get("goods?select=id,name&id=eq.1")
    first = await own.client.ask(request)
    again = await own.warm(request)
    assert kept(again) == kept(first)
    assert again[1]["cache-status"].startswith("monohull; hit; ttl=")


async def test_each_leaves_a_trace_a_line_and_its_numbers(own: Watched) -> None:
    request = get("goods?id=eq.2&select=name")
    await own.warm(request)
    answers = [await own.client.ask(request) for _ in range(3)]
    ids = [headers["x-request-id"] for _, headers, _ in answers]
    assert len(set(ids)) == 3
    last = own.finished[-3:]
    assert [one.request_id for one in last] == ids
    for one, (_, headers, body) in zip(last, answers, strict=True):
        assert (one.status, one.method, one.route) == (200, "GET", "/rest/v1/{relation}")
        assert (one.principal, one.response_bytes) == ("service", len(body))
        assert headers["traceparent"].split("-")[1] == one.trace_id
        assert one.duration_seconds >= 0


async def test_a_commit_is_seen(own: Watched) -> None:
    request = get("goods?id=eq.3")
    await own.warm(request)
    for name in ("changed", "changed again"):
        await own.served.client.patch(
            "/rest/v1/goods?id=eq.3", json={"name": name}, headers={"Authorization": SERVICE[15:].strip()}
        )

        async def says(wanted: str = name) -> bool:
            return wanted.encode() in (await own.client.ask(request))[2]

        await eventually(says)
        assert name.encode() in (await own.warm(request))[2]


async def test_who_asks_is_looked_at_each_time(own: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.unix_seconds()
    request = get("goods?id=eq.4", person(4, exp=int(now) + 1000))
    await own.warm(request)
    monkeypatch.setattr(clock, "unix_seconds", lambda: now + 2000)
    was_read, (status, _, _) = await own.is_read(request)
    assert was_read
    assert status == 401


async def test_callers_are_counted(own: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    api = data_service(own.served.runtime).api
    gate = Gate(own.served.runtime.limits, 60)
    assert gate._allowance is not None
    now = clock.monotonic_seconds()  # of which one comes back each second
    monkeypatch.setattr("monohull.kernel.allowance.monotonic_seconds", lambda: now)
    user = "user 00000000-0000-0000-0000-000000000005"
    monkeypatch.setattr(api, "_gate", gate)
    request = get("goods?id=eq.5", person(5) + "X-Forwarded-For: 192.0.2.1\r\n")
    capacity = 10
    for number in range(1, capacity + 1):
        status, _, _ = await own.client.ask(request)
        assert status == 200, number
    assert own.read < capacity, "some were answered unread"
    assert gate._allowance._buckets[user].untold == capacity
    was_read, (status, headers, _) = await own.is_read(request)
    assert was_read
    assert (status, "retry-after" in headers) == (429, True)
    assert gate._allowance._buckets[user].untold == capacity


async def test_who_is_on_this_machine_is_never_refused(own: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(own.served.runtime.limits, 6)
    monkeypatch.setattr(data_service(own.served.runtime).api, "_gate", gate)
    request = get("goods?id=eq.6", person(6))
    await own.warm(request)
    for _ in range(20):
        was_read, (status, _, _) = await own.is_read(request)
        assert (was_read, status) == (False, 200)


async def test_a_process_that_leaves_says_so(own: Watched) -> None:
    request = get("goods?id=eq.7")
    await own.warm(request)
    own.served.runtime.lifecycle.leave()
    was_read, (status, headers, _) = await own.is_read(request)
    assert was_read
    assert (status, headers["connection"]) == (200, "close")


async def test_nothing_is_answered_with_a_schema_that_does_not_fit(
    own: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = get("goods?id=eq.8")
    await own.warm(request)
    monkeypatch.setattr(own.served.runtime.schema, "state", "pending")
    was_read, (status, _, _) = await own.is_read(request)
    assert (was_read, status) == (True, 503)


async def test_a_new_configuration_is_gone_by(own: Watched) -> None:
    request = get("goods?id=eq.9")
    await own.warm(request)
    api = data_service(own.served.runtime).api
    api.configure(api._config)
    was_read, _ = await own.is_read(request)
    assert was_read
    await own.warm(request)


async def test_a_defect_goes_the_way_of_all(own: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    request = get("goods?id=eq.10")
    await own.warm(request)
    cache = data_service(own.served.runtime).cache

    def fail(*_: Any) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr(type(cache), "find_lines", fail)
    was_read, (status, _, _) = await own.is_read(request)
    assert (was_read, status) == (True, 500)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param("X-Request-Id: mine\r\n", id="its own id"),
        pytest.param(
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", id="a trace"
        ),
        pytest.param("Cache-Control: no-cache\r\n", id="nothing from a cache"),
        pytest.param("Connection: close\r\n", id="the last one"),
        pytest.param(f"X-Filler: {'x' * MAX_REPEAT_BYTES}\r\n", id="long"),
    ],
)
async def test_what_is_read_each_time(own: Watched, headers: str) -> None:
    request = get("goods?id=eq.11", SERVICE + headers)
    for _ in range(5):
        client = await own.server.connect()
        before = own.read
        status, said, _ = await client.ask(request)
        assert (status, own.read) == (200, before + 1)
        assert said["x-request-id"] == "mine" or "X-Request-Id" not in headers


async def test_browsers_are_told_what_they_may(own: Watched) -> None:
    request = get("goods?id=eq.12", SERVICE + "Origin: https://app.example.com\r\n")
    first = await own.client.ask(request)
    again = await own.warm(request)
    assert kept(again) == kept(first)
    assert "access-control-allow-origin" in again[1]


async def test_several_in_one_piece_are_all_answered(own: Watched) -> None:
    one, other = get("goods?id=eq.13"), get("goods?id=eq.14")
    for request in (one, other):
        await own.warm(request)
    own.client.writer.write(one + other + one)
    bodies = [(await own.client.answer())[2] for _ in range(3)]
    assert [body[7:9] for body in bodies] == [b"13", b"14", b"13"]


async def test_a_request_in_pieces_is_put_together(own: Watched) -> None:
    request = get("goods?id=eq.15")
    await own.warm(request)
    own.client.writer.write(request[:20])
    await own.client.writer.drain()
    await asyncio.sleep(0.05)
    own.client.writer.write(request[20:] + request)
    assert [(await own.client.answer())[2][7:9] for _ in range(2)] == [b"15", b"15"]


async def test_another_address_is_another_client(own: Watched) -> None:
    request = get("goods?id=eq.16")
    await own.warm(request)
    elsewhere = Client(
        *await asyncio.open_connection("127.0.0.1", own.server.port, local_addr=("127.0.0.2", 0))
    )
    own.server.clients.append(elsewhere)
    before = own.read
    status, _, _ = await elsewhere.ask(request)
    assert (status, own.read) == (200, before + 1)


async def test_no_more_are_remembered_than_may_be(own: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MAX_REPEATS", 3)
    for number in range(40, 49):
        await own.warm(get("goods?id=eq.1", person(number)))
    assert len(own.server.connections.repeats) == 3


async def test_each_sees_what_they_may(own: Watched) -> None:
    """The credential is part of what came, so that nobody gets what is known of another's request."""
    for path in ("goods?id=eq.{}", "notes?id=lt.{}&select=body"):
        for number in (20, 21, 20, 21):
            await own.warm(get(path.format(17), person(number)))
            was_read, (status, _, body) = await own.is_read(get(path.format(18), person(number)))
            if path.startswith("notes"):
                assert (was_read, status) == (False, 200)
                assert body == b'[{"body":"of %d"}]' % number


async def test_reads_that_are_not_cached_differ_in_their_values_alone(own: Watched) -> None:
    path = "plain?id=eq.{}&select=id"
    await own.warm(get(path.format(1)))
    for number in (2, 3, 99):
        was_read, (status, headers, body) = await own.is_read(get(path.format(number)))
        assert (was_read, status) == (False, 200)
        assert body == (b'[{"id":%d}]' % number if number < 99 else b"[]")
        assert headers["content-location"] == f"/{path.format(number)}"
        assert own.finished[-1].request_id == headers["x-request-id"]
        assert own.finished[-1].response_bytes == len(body)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        pytest.param("notes?id=eq.{}&select=%22body%22", ("1", "2", "99"), id="percent signs"),
        pytest.param(
            "notes?select=body&id=gte.{}&id=lte.{}&order=id", ("1,2", "2,2", "2,1"), id="two values"
        ),
        pytest.param("notes?owner=eq.{1}&id=eq.{0}", (f"1,{OWNER}20", f"2,{OWNER}21"), id="out of order"),
        pytest.param("notes?id=eq.{}&id=eq.1", ("1", "2", "1"), id="the same name twice"),
        pytest.param(
            "notes?id=eq.{}", ("1", "1&id=eq.2", "2", "1&select=body", "2", "", "1"), id="other shapes"
        ),
    ],
)
async def test_answers_are_those_to_requests_that_come_alone(
    own: Watched, path: str, values: tuple[str, ...]
) -> None:
    await own.warm(get(path.format(*values[0].split(","))))
    for value in (*values, *values):
        filled = path.format(*value.split(","))
        answer = await own.client.ask(get(filled))
        by_itself = await own.client.ask(get(filled, f"{SERVICE}X-Alone: {filled.encode().hex()}\r\n"))
        assert kept(answer) == kept(by_itself)
        assert answer[0] == 200 or value == ""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("id=eq.many", 400, id="no number"),
        pytest.param("id=eq.1&nothing=eq.1", 400, id="no column"),
        pytest.param("id=eq.%zz", 400, id="a broken escape"),
        pytest.param("id=eq.1&select=id&limit=none", 400, id="no limit"),
        pytest.param("id=eq.1#part", 200, id="a fragment"),
        pytest.param("", 200, id="nothing"),
    ],
)
async def test_other_queries_are_answered_as_any(own: Watched, query: str, expected: int) -> None:
    await own.warm(get("plain?id=eq.1"))
    answer = await own.client.ask(get(f"plain?{query}"))
    assert answer[0] == expected
    by_itself = await own.served.client.get(
        f"/rest/v1/plain?{query}", headers={"Authorization": SERVICE[15:].strip()}
    )
    assert (by_itself.status_code, by_itself.content) == (answer[0], answer[2])
    assert own.finished[-2].request_id == answer[1]["x-request-id"]
    assert own.finished[-2].principal == "service"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"GET /rest/v1/plain?id=eq.1 x HTTP/1.1", id="a blank in it"),
        pytest.param(b"GET /rest/v1/plain?id=eq.\x7f HTTP/1.1", id="a character it may not have"),
        pytest.param(b"GET /rest/v1/plain?id=eq.1\n HTTP/1.1", id="a line feed"),
        pytest.param(b"GET /rest/v1/plain?id=eq.1 HTTP/1.1 ", id="a blank behind it"),
    ],
)
async def test_first_lines_that_are_none_are_refused(own: Watched, first: bytes) -> None:
    await own.warm(get("plain?id=eq.1"))
    rest = get("plain?id=eq.1").partition(b" HTTP/1.1")[2]
    client = await own.server.connect()
    status, _, _ = await client.ask(first + rest)
    assert status == 400
    assert await client.is_closed()


async def test_a_body_is_not_taken_for_the_next_request(own: Watched) -> None:
    await own.warm(get("plain?id=eq.1"))
    with_body = get("plain?id=eq.2", SERVICE + "Content-Length: 5\r\n")
    for _ in range(3):
        own.client.writer.write(with_body)
        await own.client.writer.drain()
        own.client.writer.write(b"12345" + get("plain?id=eq.3"))
        assert (await own.client.answer())[2] == b'[{"id":2}]'
        assert (await own.client.answer())[2] == b'[{"id":3}]'


async def test_whoever_leaves_is_not_waited_for(own: Watched) -> None:
    await own.warm(get("plain?id=eq.1"))
    owner = await asyncpg.connect(own.served.runtime.connections.owner_url)
    try:
        async with owner.transaction():
            await owner.execute("lock table plain in access exclusive mode")
            clients = [await own.server.connect() for _ in range(3)]
            before = own.read
            for client in clients:
                client.writer.write(get("plain?id=eq.2"))
            await eventually(lambda: own.served.runtime.lifecycle.in_flight == 3)
            assert own.read == before
            for client in clients:
                client.writer.close()
            await eventually(lambda: own.served.runtime.lifecycle.in_flight == 0)
        assert [one.status for one in own.finished[-3:]] == [499] * 3
    finally:
        await owner.close()
    assert (await own.client.ask(get("plain?id=eq.2")))[2] == b'[{"id":2}]'


def post(path: str, body: str, headers: str = "Prefer: return=representation\r\n") -> bytes:
    head = f"POST /rest/v1/{path} HTTP/1.1\r\nHost: a\r\n{SERVICE}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


async def warm_post(own: Watched, start: int) -> None:
    """Insert until it is known but for its body."""
    for number in range(start, start + 10):
        was_read, (status, _, _) = await own.is_read(post("plain", f'{{"id":{number}}}'))
        assert status == 201
        if not was_read:
            return
    raise AssertionError("it is read each time")


async def test_writes_differ_in_their_bodies(own: Watched) -> None:
    await warm_post(own, 100)
    for number in (120, 121):
        was_read, (status, headers, body) = await own.is_read(post("plain", f'{{"id":{number}}}'))
        assert (was_read, status, body) == (False, 201, b'[{"id":%d}]' % number)
        last = own.finished[-1]
        assert (last.method, last.status, last.request_id) == ("POST", 201, headers["x-request-id"])
    was_read, (status, _, body) = await own.is_read(post("plain", '{"id":1220}'))
    assert (was_read, status, body) == (True, 201, b'[{"id":1220}]'), "another length is another head"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param('{"id":120}', 409, "23505", id="it is there already"),
        pytest.param('{"id":nul}', 400, "PGRST102", id="no document"),
        pytest.param('{"no":123}', 400, "PGRST204", id="no column"),
        pytest.param('{"id":"x"}', 400, "22P02", id="no number"),
        pytest.param("[1, 2, 34]", 400, "PGRST102", id="no rows"),
    ],
)
async def test_what_is_wrong_with_a_body_is_said_as_ever(
    own: Watched, body: str, status: int, code: str
) -> None:
    await own.client.ask(post("plain", '{"id":120}'))
    await warm_post(own, {"23505": 200, "PGRST102": 210 + len(body), "PGRST204": 240}.get(code, 250))
    answer = await own.client.ask(post("plain", body))
    assert (answer[0], json.loads(answer[2])["code"]) == (status, code)
    assert own.finished[-1].request_id == answer[1]["x-request-id"]
    again = await own.served.client.post(
        "/rest/v1/plain",
        content=body,
        headers={"Authorization": SERVICE[15:].strip(), "Content-Type": "application/json"},
    )
    assert (again.status_code, again.json()) == (status, json.loads(answer[2]))


async def test_a_body_in_pieces_and_another_request_behind_it(own: Watched) -> None:
    await warm_post(own, 300)
    request = post("plain", '{"id":320}')
    own.client.writer.write(request[:-5])
    await own.client.writer.drain()
    await asyncio.sleep(0.05)
    own.client.writer.write(request[-5:] + post("plain", '{"id":321}') + get("plain?id=eq.320"))
    answers = [await own.client.answer() for _ in range(3)]
    assert [status for status, _, _ in answers] == [201, 201, 200]
    assert [body for _, _, body in answers] == [b'[{"id":320}]', b'[{"id":321}]', b'[{"id":320}]']


async def test_too_much_behind_a_body_is_another_request(own: Watched) -> None:
    await warm_post(own, 400)
    client = await own.server.connect()
    client.writer.write(post("plain", '{"id":420}') + b"nonsense\r\n\r\n")
    assert (await client.answer())[0] == 201
    assert (await client.answer())[0] == 400


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(b"GET /rest/v1/plain HTTP/1.1\r\nHost : a\r\n\r\n", 400, id="a space in a name"),
        pytest.param(b"GET /rest/v1/plain HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(
            b"GET /rest/v1/plain HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * MAX_HEAD_BYTES),
            431,
            id="a long head",
        ),
    ],
)
async def test_what_is_no_request_leaves_a_line_and_its_numbers(
    own: Watched, sent: bytes, expected: int
) -> None:
    client = await own.server.connect()
    status, headers, body = await client.ask(sent)
    assert status == expected
    last = own.finished[-1]
    assert (last.status, last.method, last.route, last.principal) == (
        expected,
        "_OTHER",
        "unmatched",
        "anonymous",
    )
    assert last.request_id == headers["x-request-id"] == json.loads(body)["request_id"]
    assert last.response_bytes == len(body)
    assert headers["x-content-type-options"] == "nosniff"
