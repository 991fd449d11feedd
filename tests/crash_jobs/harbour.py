"""Brokers that sinks carry events to, each in a process that is killed, and what arrived in them.

    sinks  ─┬─ redis_events   each event of the writers, in a stream of Redis
            ├─ redis_rows     each row, whoever wrote it, in another one
            └─ nats_events    each event of the writers, in a stream of JetStream, where NATS is installed

A Redis of its own: the one that the workers have forgets everything when it is killed, and a broker does not.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec
import nats as nats_client
from msgspec import Struct

from modules.streams.assembly import build_sinks
from modules.streams.dtos import CreateSink
from monohull.kernel.embedded import EmbeddedRedis, new_password
from monohull.kernel.principal import SYSTEM
from monohull.kernel.redis_connection import close_redis, open_redis
from tests.brokers import Nats
from tests.patience import PATIENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    import asyncpg

    from monohull.kernel.runtime import Runtime

EVENTS: Final = ["storm.*"]
ROWS: Final = [{"table": "entries", "operations": ["INSERT"]}]
STREAM: Final = "storm"


class Arrived(Struct, frozen=True):
    """One entry of a broker."""

    id: str
    mark: str
    key: int
    n: int


class Harbour:
    """Runs the brokers, kills them, and looks into them.

    Args:
        folder: For their files.
    """

    def __init__(self, folder: Path) -> None:
        self._redis = EmbeddedRedis(folder / "sink-redis", password=new_password(), durable=True)
        (folder / "sink-nats").mkdir()
        self._nats = None if Nats.missing() else Nats(folder / "sink-nats")
        self._sinks: dict[str, UUID] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What can be killed."""
        return ("sink redis", "sink nats") if self._nats else ("sink redis",)

    def start(self) -> None:
        """Start the brokers."""
        self._redis.start()
        if self._nats:
            self._nats.start()

    def stop(self) -> None:
        """End them."""
        self._redis.stop()
        if self._nats:
            self._nats.stop()

    def kill(self, name: str) -> None:
        """``kill -9``; it is to be started again."""
        if name == "sink redis":
            self._redis.kill()
        elif self._nats:
            self._nats.kill()

    def start_again(self, name: str) -> None:
        """Start what was killed, on its port and with what it had stored."""
        if name == "sink redis":
            self._redis.start()
        elif self._nats:
            self._nats.start()

    async def make_sinks(self, runtime: Runtime) -> None:
        """Make the sinks, and the stream that NATS wants before."""
        wanted: dict[str, dict[str, Any]] = {
            "redis_events": {"target": self._stream("events"), "events": EVENTS},
            "redis_rows": {"target": self._stream("rows"), "rows": ROWS},
        }
        if self._nats:
            async with await nats_client.connect(self._nats.url) as client:
                await client.jetstream().add_stream(name=STREAM, subjects=[f"{STREAM}.>"])
            target = {"nats": {"url": self._nats.url, "subject": f"{STREAM}.{{event}}", "stream": STREAM}}
            wanted["nats_events"] = {"target": target, "events": EVENTS}
        service = build_sinks(runtime)
        for name, body in wanted.items():
            view = await service.create(msgspec.convert({"name": name, **body}, CreateSink), SYSTEM)
            self._sinks[name] = view.id

    async def compare(
        self, connection: asyncpg.Connection, told: Mapping[str, str], committed: set[str]
    ) -> tuple[int, int]:
        """Compare what arrived with what was committed; return how many entries there are, and events.

        Args:
            connection: To the ledger.
            told: The marks of the writers' events, each with the event's id.
            committed: The marks of all rows.
        """
        rows: Any = await connection.fetch("select name, delivered from monohull.stream_sinks")
        delivered = {row["name"]: row["delivered"] for row in rows}
        entries = events = 0
        for name in self._sinks:
            arrived = await self._arrived(name)
            ids = ids_of(name, arrived)
            wanted = committed if name == "redis_rows" else set(told)
            lost = wanted - ids.keys()
            assert not lost, f"{name}: {len(lost)} events are lost of {delivered[name]} that were taken"
            assert not ids.keys() - wanted, f"{name}: {len(ids.keys() - wanted)} events of nothing"
            if name != "redis_rows":
                assert ids == told, f"{name}: other ids than the outbox has"
                check_order(name, arrived)
            assert delivered[name] == len(ids), f"{name}: the ledger says {delivered[name]} of {len(ids)}"
            entries, events = entries + len(arrived), events + len(ids)
        return entries, events

    def _stream(self, name: str) -> dict[str, Any]:
        return {"redis_stream": {"url": self._redis.url, "stream": name, "max_length": None}}

    async def _arrived(self, name: str) -> list[Arrived]:
        if name == "nats_events":
            return await self._in_nats()
        client = open_redis(self._redis.url, name="storm", timeouts=PATIENT)
        found: Any = await client.xrange(name.removeprefix("redis_"))
        await close_redis(client)
        return [read(fields[b"data"]) for _, fields in found]

    async def _in_nats(self) -> list[Arrived]:
        assert self._nats
        async with await nats_client.connect(self._nats.url) as client:
            jetstream = client.jetstream()
            state = (await jetstream.stream_info(STREAM)).state
            messages = [
                await jetstream.get_msg(STREAM, sequence)
                for sequence in range(state.first_seq, state.last_seq + 1)
            ]
        return [read(message.data or b"") for message in messages]


def read(body: bytes) -> Arrived:
    """Read a CloudEvent of a writer, or of a row."""
    event = msgspec.json.decode(body)
    told = event["data"].get("record", event["data"])
    return Arrived(event["id"], told["mark"], told["key"], told["n"])


def ids_of(name: str, arrived: Sequence[Arrived]) -> dict[str, str]:
    """Return the id under which each mark came, which is one."""
    ids: dict[str, set[str]] = defaultdict(set)
    for one in arrived:
        ids[one.mark].add(one.id)
    assert all(len(found) == 1 for found in ids.values()), f"{name}: an event came under two ids"
    return {mark: found.pop() for mark, found in ids.items()}


def check_order(name: str, arrived: Sequence[Arrived]) -> None:
    """Look that what is seen first of each event is in the order of its key."""
    seen: dict[int, int] = defaultdict(int)
    known: set[str] = set()
    for one in arrived:
        if one.id not in known:
            known.add(one.id)
            assert one.n > seen[one.key], f"{name}: of {one.key} came {one.n} after {seen[one.key]}"
            seen[one.key] = one.n
