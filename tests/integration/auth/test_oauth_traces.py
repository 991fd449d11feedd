"""What the OAuth server and single sign-on leave behind: in the audit log, and until it is cleared away."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from modules.auth.audit import write_entry
from modules.auth.jobs import purge_flows
from monohull.kernel.events import Envelope
from tests.application import running_app
from tests.integration.auth.applications import ADMIN, OAUTH, Applications
from tests.integration.auth.identity_provider import IdentityProvider
from tests.integration.auth.offices import SAML, Offices, fragment

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_events_of_applications_and_organisations_are_in_the_audit_log(
    shared_connections: Connections,
) -> None:
    async with running_app(shared_connections, **{**SAML, **OAUTH}) as served:
        apps, offices, idp = Applications(served), Offices(served), IdentityProvider()
        person, app, provider = await apps.sign_up(), await apps.register(), await offices.found(idp)
        await apps.signed_in_at(app, person)
        fragment(await offices.come(idp, provider))
        await apps.client.delete(f"/auth/v1/user/oauth/grants?client_id={app.id}", headers=person.bearer)
        for row in await apps.rows(
            "select * from monohull.outbox where key = any($1) order by position",
            [app.id, str(person.id), provider["id"]],
        ):
            names = ("id", "position", "name", "version", "occurred_at", "key", "actor", "request_id")
            known = {name: row[name] for name in (*names, "traceparent", "payload")}
            await write_entry(served.runtime, Envelope(**known, transaction=1, sequence=1))
        answer = await apps.client.get("/auth/v1/admin/audit?per_page=100", headers=ADMIN)
        found = {entry["payload"]["action"]: entry["payload"] for entry in answer.json()}
    assert set(found) >= {
        "user_signedup",
        "login",
        "oauth_client_registered",
        "oauth_consent_granted",
        "oauth_grant_revoked",
        "sso_provider_added",
    }
    assert found["oauth_consent_granted"]["traits"]["scopes"] == ["openid", "email"]
    assert found["oauth_consent_granted"]["actor_username"] == person.email
    assert found["oauth_client_registered"]["log_type"] == "team"


async def test_what_nobody_came_back_for_is_cleared_away(shared_connections: Connections) -> None:
    async with running_app(shared_connections, **{**SAML, **OAUTH}) as served:
        apps, offices, idp = Applications(served), Offices(served), IdentityProvider()
        app, provider = await apps.register(), await offices.found(idp)
        asked = [await apps.ask(app, "v" * 43) for _ in range(2)]
        left = [(await offices.leave(provider))[1] for _ in range(2)]
        for subject in ("old", "new"):
            fragment(await offices.come(idp, provider, subject=subject, assertion_id=f"{subject}-{uuid4()}"))
        await apps.execute(
            "update auth.oauth_authorizations set created_at = now() - interval '4 days', "
            "expires_at = now() - interval '3 days' where authorization_id = $1",
            asked[0],
        )
        await apps.execute(
            "update auth.saml_relay_states set created_at = now() - interval '3 days' where id = $1", left[0]
        )
        await apps.execute(
            "update auth.saml_assertions set expires_at = now() - interval '1 second' "
            "where assertion_id like 'old-%'"
        )
        await purge_flows(served.runtime)
        authorizations = await apps.rows(
            "select authorization_id as id from auth.oauth_authorizations where client_id = $1", app.id
        )
        states = await apps.rows(
            "select id from auth.saml_relay_states where sso_provider_id = $1", provider["id"]
        )
        assertions = await apps.rows(
            "select assertion_id from auth.saml_assertions where sso_provider_id = $1", provider["id"]
        )
    assert [row["id"] for row in authorizations] == asked[1:]
    assert [str(row["id"]) for row in states] == left[1:]
    assert [row["assertion_id"][:4] for row in assertions] == ["new-"]
