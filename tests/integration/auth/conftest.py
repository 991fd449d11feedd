"""One application for all tests of a file: they make users of their own and need no fresh database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest
import pytest_asyncio
from msgspec.structs import replace

from modules.auth import breaches
from modules.auth.hooks import callers
from modules.auth.providers import fetching
from modules.auth.saml import providers as saml_providers
from modules.auth.wallets import contracts
from monohull.kernel.crypto import derive_password
from monohull.kernel.home import Connections, with_login
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET, Served, on_database, running_app
from tests.integration.auth.identity_provider import IdentityProvider
from tests.integration.auth.offices import SAML, Offices
from tests.integration.auth.people import People
from tests.integration.auth.post import CONFIRMING, Post, running_post
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services import Services

RELAXED = {
    "auth_security_refresh_token_reuse_interval": "60",
    "auth_rate_limit_token_refresh": "1000000",
    "auth_rate_limit_otp": "1000000",
    "auth_rate_limit_verify": "1000000",
    "auth_rate_limit_email_sent": "1000000",
}


ASKERS: Final = (breaches, callers, contracts, fetching, saml_providers)


@pytest.fixture(autouse=True)
def _patient_askers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hooks and servers elsewhere be slow, unless a test is about that: the machine may stall."""
    patience = dict.fromkeys(("connect_seconds", "read_seconds", "total_seconds"), PATIENCE_SECONDS)
    for asker in ASKERS:
        monkeypatch.setattr(asker, "LIMITS", replace(asker.LIMITS, **patience))
    for caller in (callers.DatabaseCaller, callers.HttpCaller, callers.PythonCaller):
        monkeypatch.setattr(caller, "seconds", PATIENCE_SECONDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_connections(
    services: Services, template_database: str, worker_number: int
) -> AsyncIterator[Connections]:
    """A database of this file's own, and Redis."""
    name = f"auth_{worker_number}"
    admin = await asyncpg.connect(services.postgres_url)
    try:
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.execute(f"create database {name} template {template_database} strategy file_copy")
        url = on_database(services.postgres_url, name)
        data_url = with_login(url, "authenticator", derive_password(JWT_SECRET, "authenticator"))
        redis_url = f"{services.redis_url.rsplit('/', 1)[0]}/{worker_number}"
        yield Connections(Secret(url), Secret(data_url), Secret(redis_url))
        await admin.execute(f"drop database if exists {name} with (force)")
    finally:
        await admin.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(shared_connections: Connections) -> AsyncIterator[Served]:
    """The application with limits that no test reaches."""
    async with running_app(shared_connections, **RELAXED) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def post(shared_connections: Connections) -> AsyncIterator[Post]:
    """The application that confirms addresses, and its worker."""
    async with running_post(shared_connections, **CONFIRMING) as post:
        yield post


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(shared: Served) -> People:
    """Somebody to sign in as."""
    return People(shared)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def offices(shared_connections: Connections) -> AsyncIterator[Offices]:
    """The application with single sign-on."""
    async with running_app(shared_connections, **SAML) as served:
        yield Offices(served)


@pytest.fixture(scope="module")
def idp() -> IdentityProvider:
    """An identity provider."""
    return IdentityProvider()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(offices: Offices, idp: IdentityProvider) -> dict[str, Any]:
    """Its organisation."""
    return await offices.found(idp, domains=["Corp.example", "corp.example.net"])
