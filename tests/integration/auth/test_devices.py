"""``/auth/v1/sessions``: where one is signed in, when that was used last, and how to end the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.factories.auth import PASSWORD

if TYPE_CHECKING:
    from tests.integration.auth.people import People

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_devices_say_where_and_when_they_were_used_last(people: People) -> None:
    phone = await people.sign_up()
    answer = await people.client.post(
        "/auth/v1/token?grant_type=password",
        json={"email": phone.email, "password": PASSWORD},
        headers={"User-Agent": "a laptop"},
    )
    laptop = answer.json()
    path = "/auth/v1/sessions"
    here, there = (await people.client.get(path, headers=phone.bearer)).json()
    assert (here["is_current"], here["user_agent"], here["ip"]) == (False, "a laptop", "127.0.0.1")
    assert there["is_current"]
    assert here["last_used_at"] == here["created_at"]
    await people.refresh(laptop["refresh_token"])
    renewed = (await people.client.get(path, headers=phone.bearer)).json()[0]
    assert renewed["id"] == here["id"]
    assert renewed["last_used_at"] > here["last_used_at"]
    assert renewed["last_used_at"] == renewed["refreshed_at"]


async def test_all_others_end_at_once_and_the_one_that_asks_goes_on(people: People) -> None:
    here, stranger = await people.sign_up(), await people.sign_up()
    others = [await people.sign_in(here.email) for _ in range(3)]
    path = "/auth/v1/sessions"
    for _ in range(2):  # a second time there is nothing to end, and that is no fault
        ended = await people.client.delete(path, headers=here.bearer)
        assert (ended.status_code, ended.content) == (204, b"")
    assert [
        device["is_current"] for device in (await people.client.get(path, headers=here.bearer)).json()
    ] == [True]
    for other in others:
        shown = await people.client.get("/auth/v1/user", headers=other.bearer)
        assert (shown.status_code, shown.json()["code"]) == (403, "session_not_found")
        assert (await people.refresh(other.refresh_token)).status_code == 400
    for person in (here, stranger):
        assert (await people.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200
        assert (await people.refresh(person.refresh_token)).status_code == 200
    assert (await people.events(here.id)).count("auth.user_signed_out") == 1
    assert "auth.user_signed_out" not in await people.events(stranger.id)
