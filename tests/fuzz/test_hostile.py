"""Whatever is sent: no 500, no hang, no transaction left open, and the next client is served."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from tests.application import service_key
from tests.fuzz.attack import assert_nothing_is_left, attack, besieged

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

SHOP: Final = Path(__file__).parent.parent / "integration" / "rest" / "shop.sql"
FUNCTIONS: Final = Path(__file__).parent / "functions.sql"
MANY: Final = int(os.environ.get("FUZZ_REQUESTS", "100000"))


async def besiege(connections: Connections, first: int, count: int) -> None:
    async with besieged(connections, SHOP, FUNCTIONS) as (served, database):
        complaints = await attack(served, first, count)
        assert not complaints, f"{len(complaints)} of {count}:\n" + "\n".join(complaints[:10])
        await assert_nothing_is_left(served, database)
        headers = {"Authorization": f"Bearer {service_key()}"}
        assert (await served.client.get("/rest/v1/products?select=id", headers=headers)).status_code == 200


async def test_three_thousand_hostile_requests(connections: Connections) -> None:
    await besiege(connections, 0, 3000)


@pytest.mark.slow
async def test_a_hundred_thousand_hostile_requests(connections: Connections) -> None:
    """Other ones each time; the number in front of a complaint draws it again."""
    await besiege(connections, Random().randrange(2**31), MANY)
