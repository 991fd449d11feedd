"""How long searches in a large audit log take, and how long it takes to verify it.

    python -m tests.load.audit_log [--entries 1000000]

Starts a PostgreSQL of its own, fills one month and the one before, and asks as
``/platform/v1/audit`` does. Each search runs 20 times; the slowest counts.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from modules.audit.entries import COLUMNS, FIELDS, GENESIS, digest, month_of
from modules.audit.partitions import later
from modules.audit.paths import Place, Wanted
from modules.audit.searching import Search
from modules.audit.services import AuditLog
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.configuration import load
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REPEATS: Final = 20
CHUNK: Final = 20_000
ACTORS: Final = 5000
SECRET: Final = "a-secret-for-measuring-only-0123456789-abcdef"
ACTIONS: Final = ("auth.user_signed_in", "data.row_updated", "data.row_inserted", "auth.user_updated")
RARE: Final = "auth.user_deleted"
MACHINE: Final = {
    "action": "storage.object_created",
    "actor_id": "importer",
    "actor_kind": "key",
    "object_kind": "object",
}
"""Every tenth entry: actor, action and kind of object occur together and with nothing else."""


def records(count: int, first: datetime, second: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield entries of two months, chained."""
    dice, previous, month, sequence = random.Random(7), GENESIS, "", 0
    for number in range(count):
        half, is_late = count // 2, number >= count // 2
        start = second if is_late else first
        at = start + timedelta(milliseconds=(number - half if is_late else number) * 2)
        if month_of(at) != month:
            month, sequence = month_of(at), 0
        sequence += 1
        fields: dict[str, Any] = dict.fromkeys(FIELDS) | {
            "sequence": sequence,
            "id": UUID(int=dice.getrandbits(128)),
            "recorded_at": at,
            "occurred_at": at,
            "action": RARE if number % 50_000 == 0 else dice.choice(ACTIONS),
            "actor_kind": "user",
            "actor_id": f"user-{int(dice.paretovariate(1)) % ACTORS}",
            "actor_role": "authenticated",
            "address": f"192.0.2.{number % 250}",
            "object_kind": "user" if number % 2 else "public.orders",
            "object_id": str(dice.randrange(100_000)),
            "after": '{"total": 12, "state": "paid"}',
            "request_id": f"{number:032x}",
        }
        if number % 10 == 3:
            fields |= MACHINE
        own = digest(month, fields, previous)
        yield (*(fields[name] for name in FIELDS), previous, own)
        previous = own


async def fill(database: Database, count: int) -> None:
    today = datetime.now(UTC).date()
    second = datetime(today.year, today.month, 1, tzinfo=UTC)
    before = later(today, -1)
    async with database.connection() as connection:
        await connection.execute("select monohull.add_audit_partition($1)", before)
        batch: list[tuple[Any, ...]] = []
        for record in records(count, datetime(before.year, before.month, 1, tzinfo=UTC), second):
            batch.append(record)
            if len(batch) == CHUNK:
                await copy(connection, batch)
                batch = []
        await copy(connection, batch)
        await connection.execute("vacuum analyze monohull.audit_entries")


async def copy(connection: Any, batch: list[tuple[Any, ...]]) -> None:
    await connection.copy_records_to_table(
        "audit_entries", schema_name="monohull", columns=COLUMNS, records=batch
    )


async def measure(database: Database, count: int) -> None:
    search = Search(database)
    rare = (await search.page(Wanted(action=RARE), limit=200)).entries
    middle = rare[len(rare) // 2]
    place = Place(middle.recorded_at, middle.sequence)
    searches = {
        "newest": (Wanted(), None),
        "from the middle on": (Wanted(), place),
        "a busy actor": (Wanted(actor="user-1"), None),
        "a quiet actor": (Wanted(actor="user-4321"), None),
        "no such actor": (Wanted(actor="nobody"), None),
        "a common action": (Wanted(action=ACTIONS[0]), None),
        "a rare action": (Wanted(action=RARE), None),
        "actions below a name": (Wanted(action="auth.*"), None),
        "no actions below a name": (Wanted(action="webhooks.*"), None),
        "a busy actor's rare action": (Wanted(actor="user-1", action=RARE), None),
        "a busy actor's common action from the middle on": (
            Wanted(actor="user-1", action=ACTIONS[0]),
            place,
        ),
        "a busy actor on no such object": (Wanted(actor="user-1", object="bucket:1"), None),
        "a busy actor's action that only others do": (
            Wanted(actor="user-1", action=MACHINE["action"]),
            None,
        ),
        "a busy actor's actions below a name that only others do": (
            Wanted(actor="user-1", action="storage.*"),
            None,
        ),
        "a busy actor on a kind of object that only others touch": (
            Wanted(actor="user-1", object=MACHINE["object_kind"]),
            None,
        ),
        "an action on a kind of object that it never concerns": (
            Wanted(action=ACTIONS[0], object=MACHINE["object_kind"]),
            None,
        ),
        "a busy actor in an hour": (
            Wanted(actor="user-1", since=place.recorded_at, until=place.recorded_at + timedelta(hours=1)),
            None,
        ),
        "an object": (Wanted(object="public.orders:777"), None),
        "a kind of object": (Wanted(object="public.orders"), None),
        "a request": (Wanted(request_id=f"{count // 3:032x}"), None),
        "a time without entries": (Wanted(until=datetime(2020, 1, 1, tzinfo=UTC)), None),
    }
    for name, (wanted, behind) in searches.items():
        times: list[float] = []
        found: Sequence[Any] = ()
        for _ in range(REPEATS):
            began = monotonic_seconds()
            found = (await search.page(wanted, limit=50, behind=behind)).entries
            times.append((monotonic_seconds() - began) * 1000)
        print(f"{name:<50} {len(found):>3} entries  median {statistics.median(times):6.2f} ms  slowest {max(times):6.2f} ms")  # fmt: skip  # noqa: E501


async def run(url: str, count: int) -> None:
    database = Database(url)
    try:
        await upgrade(database, login=Login(SECRET, is_reset=True))
        began = monotonic_seconds()
        await fill(database, count)
        print(f"{count} entries written in {monotonic_seconds() - began:.1f} s")
        await measure(database, count)
        settings = load({"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": SECRET}, project=Path("/")).settings
        began = monotonic_seconds()
        verdict = await AuditLog(database, settings).verify()
        seconds = monotonic_seconds() - began
        print(f"verified {verdict.entries} entries in {seconds:.1f} s: {verdict.ok}")
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    count = parser.parse_args().entries
    services = start_services(Path(tempfile.mkdtemp(prefix="audit-log-")))
    try:
        asyncio.run(run(services.postgres_url, count))
    finally:
        services.stop()


if __name__ == "__main__":
    main()
