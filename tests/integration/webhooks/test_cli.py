"""``monohull webhooks``, against a database."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from modules.webhooks.cli import webhooks
from tests.integration.api_keys.test_cli import ENVIRON, Context, printed
from tests.integration.webhooks.office import open_office
from tests.integration.webhooks.receiver import Receiver

if TYPE_CHECKING:
    from monohull.kernel.home import Connections


def call(connections: Connections, *arguments: str) -> Result:
    return CliRunner().invoke(webhooks, arguments, obj=Context(connections, ENVIRON))


def test_the_proof_from_the_command_line(connections: Connections) -> None:
    """Not async: each command runs a loop of its own."""

    async def prepare() -> tuple[str, list[str]]:
        async with Receiver().listening() as receiver, open_office(connections, receiver) as office:
            there = await office.endpoint()
            ids = await there.happen(*range(3))
            await there.settled(3)
            return there.id, ids

    async def lose(event_id: str) -> None:
        async with Receiver().listening() as receiver, open_office(connections, receiver) as office:
            await office.execute("delete from monohull.webhook_deliveries where event_id = $1", event_id)

    endpoint_id, ids = asyncio.run(prepare())
    result = call(connections, "verify")
    assert result.exit_code == 0, result.output
    assert "3 deliveries: 3 delivered" in printed(result)
    asyncio.run(lose(ids[1]))
    result = call(connections, "verify", "--endpoint", endpoint_id, "--since", "2026-01-01")
    assert result.exit_code == 1
    assert ids[1] in result.stderr
    account = json.loads(printed(call(connections, "verify", "--json")))
    assert (account["missing"], account["first_missing"]["event_id"]) == (1, ids[1])
    assert endpoint_id in printed(call(connections, "list"))
