"""`monohull serve` over a small shop, for clients in processes of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from modules.auth.tokens import TokenCodec
from tests.application import JWT_SECRET, anon_key, service_key
from tests.integration.cli.serving import serve
from tests.integration.conftest import (  # noqa: F401  fixtures are found by name
    connections,
    platform_database,
    redis_url,
    template_database,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from monohull.kernel.home import Connections

SHOP: Final = (Path(__file__).parent / "shop.sql").read_text(encoding="utf-8")
MANY: Final = """
    create table many (id int primary key, note text);
    comment on table many is '@public';
    insert into many select n, 'note ' || n from generate_series(1, 90000) n;
    analyze many, makers, goods;
"""
ADA: Final = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
async def shop(connections: Connections) -> Connections:  # noqa: F811  the fixture
    """A database with the shop in it."""
    database = await asyncpg.connect(connections.owner_url)
    try:
        await database.execute(SHOP)
    finally:
        await database.close()
    return connections


@pytest.fixture
def server(shop: Connections, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a client: where the server is, and keys."""
    claims = {"sub": ADA, "role": "authenticated", "aud": "authenticated", "exp": 4_000_000_000}
    token = TokenCodec(secret=JWT_SECRET).sign(claims)
    keys = {"ANON_KEY": anon_key(), "SERVICE_KEY": service_key(), "ADA_TOKEN": token}
    with serve(shop, tmp_path, log_level="error") as url:
        yield {**os.environ, "MONOHULL_URL": url, **keys}


@pytest.fixture
async def guarded_server(shop: Connections, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The same, with ceilings for everybody and a table that is too large to be read from end to end."""
    database = await asyncpg.connect(shop.owner_url)
    try:
        await database.execute(MANY)
    finally:
        await database.close()
    with serve(shop, tmp_path, log_level="error", rest_guard="*:cost=900,anon:depth=1") as url:
        yield {**os.environ, "MONOHULL_URL": url, "ANON_KEY": anon_key(), "SERVICE_KEY": service_key()}
