"""What an outbox that is older than the feed becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.crypto import derive_password
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, downgrade, upgrade
from monohull.kernel.dispatch import relay_events
from monohull.kernel.events import EventRegistry
from monohull.kernel.feed import feed_end, read_feed
from tests.application import JWT_SECRET

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

BEFORE = "0013"
LOGIN = Login(derive_password(JWT_SECRET, "authenticator"), is_reset=True)
OLD = """
    insert into monohull.outbox (id, name, version, payload, transaction_id, relayed_at)
    select gen_random_uuid(), 'old.thing', 1, to_json(n), (1000 - n)::text::xid8,
           case when n % 3 > 0 then now() - interval '1 hour' end
    from generate_series(1, 9) as n
"""


async def test_what_was_relayed_before_has_its_number(connections: Connections) -> None:
    """Transactions with the greater number came later, and 3, 6 and 9 were still to be relayed."""
    database = Database(connections.owner_url)
    async with database.running():
        await downgrade(database, BEFORE)
        async with database.connection() as connection:
            await connection.execute(OLD)
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            assert await feed_end(connection) == 6
            assert await relay_events(connection, EventRegistry()) == 3
            events = await read_feed(connection, after=0)
        assert [int(bytes(event.payload)) for event in events] == [8, 7, 5, 4, 2, 1, 3, 6, 9]
        assert [event.sequence for event in events] == list(range(1, 10))
        await downgrade(database, BEFORE)
        async with database.connection() as connection:
            assert await connection.fetchval("select count(relayed_at) from monohull.outbox") == 9
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            assert await feed_end(connection) == 9
