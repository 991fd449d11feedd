"""Limits, settings that refuse, and what happens while Redis is away."""

from __future__ import annotations

import pytest

from monohull.kernel.home import Connections
from monohull.kernel.settings import Secret
from tests.application import running_app
from tests.factories.auth import PASSWORD
from tests.integration.auth.people import V2, People

pytestmark = pytest.mark.asyncio


async def test_too_many_wrong_passwords_for_an_account(connections: Connections) -> None:
    async with running_app(
        connections, auth_rate_limit_password_failures="3", auth_rate_limit_token_refresh="1000"
    ) as served:
        people = People(served)
        victim, other = await people.sign_up(), await people.sign_up()
        for _ in range(20):
            await people.sign_in(victim.email)  # right passwords are not counted
        for _ in range(3):
            assert (await people.grant("password", email=victim.email, password="wrong")).status_code == 400
        for password in ("wrong", PASSWORD):
            answer = await people.grant("password", email=victim.email, password=password)
            assert (answer.status_code, answer.json()["code"]) == (429, "over_request_rate_limit")
            assert int(answer.headers["retry-after"]) > 0
        await people.sign_in(other.email)


async def test_two_processes_share_their_limits(connections: Connections) -> None:
    relaxed = {"auth_rate_limit_otp": "2"}
    async with running_app(connections, **relaxed) as one, running_app(connections, **relaxed) as two:
        await People(one).sign_up()
        await People(two).sign_up()
        for served in (one, two):
            answer = await served.client.post("/auth/v1/signup", json={}, headers=V2)
            assert (answer.status_code, answer.json()["code"]) == (429, "over_request_rate_limit")


async def test_without_redis_nobody_signs_in_and_tokens_still_hold(connections: Connections) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up()
    lost = Connections(connections.owner_url, connections.data_url, Secret("redis://127.0.0.1:1/0"))
    async with running_app(lost) as served:
        people = People(served)
        for answer in (
            await people.grant("password", email=person.email, password=PASSWORD),
            await people.refresh(person.refresh_token),
            await people.client.post("/auth/v1/signup", json={}, headers=V2),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        assert (await people.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"auth_disable_signup": "true"}, 422, "signup_disabled"),
        ({"env": "production"}, 422, "email_provider_disabled"),
        ({"auth_external_email_enabled": "false"}, 400, "email_provider_disabled"),
    ],
)
async def test_sign_ups_that_the_settings_refuse(
    connections: Connections, settings: dict[str, str], status: int, code: str
) -> None:
    async with running_app(connections, **settings) as served:
        answer = await served.client.post(
            "/auth/v1/signup", json={"email": "a@b.io", "password": PASSWORD}, headers=V2
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_sessions_end_by_the_clock(connections: Connections) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up()
        await People(served).execute("update auth.sessions set created_at = now() - interval '2 hours'")
    for setting in ("auth_sessions_timebox", "auth_sessions_inactivity_timeout"):
        async with running_app(connections, **{setting: "1h"}) as served:
            answer = await People(served).refresh(person.refresh_token)
            assert (answer.status_code, answer.json()["code"]) == (400, "session_expired")


async def test_no_access_token_outlives_its_session(connections: Connections) -> None:
    async with running_app(connections, auth_sessions_timebox="10m") as served:
        person = await People(served).sign_up()
        assert 590 <= person.tokens["expires_in"] <= 600
        await People(served).execute("update auth.sessions set not_after = now() + interval '1 minute'")
        renewed = (await People(served).refresh(person.refresh_token)).json()
        assert 50 <= renewed["expires_in"] <= 60


async def test_one_session_a_user(connections: Connections) -> None:
    async with running_app(connections, auth_sessions_single_per_user="true") as served:
        people = People(served)
        first = await people.sign_up()
        second = await people.sign_in(first.email)
        ended = await served.client.get("/auth/v1/user", headers=first.bearer)
        assert (ended.status_code, ended.json()["code"]) == (403, "session_not_found")
        (only,) = (await served.client.get("/auth/v1/sessions", headers=second.bearer)).json()
        assert only["is_current"] is True


async def test_without_detection_only_the_late_token_is_refused(connections: Connections) -> None:
    settings = {
        "auth_security_refresh_token_rotation_enabled": "false",
        "auth_security_refresh_token_reuse_interval": "0",
    }
    async with running_app(connections, **settings) as served:
        people = People(served)
        person = await people.sign_up()
        second = (await people.refresh(person.refresh_token)).json()["refresh_token"]
        third = (await people.refresh(second)).json()["refresh_token"]
        await people.execute("update auth.refresh_tokens set updated_at = updated_at - interval '1 second'")
        assert (await people.refresh(person.refresh_token)).json()["code"] == "refresh_token_already_used"
        assert (await people.refresh(third)).status_code == 200
