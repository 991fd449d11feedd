"""``/auth/v1/sessions``: where one is signed in, when that was used last, and how to end the others."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.application import service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.people import V2

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


async def test_administrators_see_and_end_sessions_of_anybody(people: People) -> None:
    person, other = await people.sign_up(), await people.sign_up()
    again = await people.sign_in(person.email)
    service = {"Authorization": f"Bearer {service_key()}", **V2}
    path = f"/auth/v1/admin/users/{person.id}/sessions"
    newest, oldest = (await people.client.get(path, headers=service)).json()
    assert (newest["is_current"], oldest["is_current"]) == (False, False)
    theirs = (await people.claims(other.tokens["access_token"]))["session_id"]
    for session_id, code in ((theirs, "session_not_found"), ("x", "validation_failed")):
        refused = await people.client.delete(f"{path}/{session_id}", headers=service)
        assert (refused.status_code, refused.json()["code"]) == (404, code)
    assert (await people.client.delete(f"{path}/{newest['id']}", headers=service)).status_code == 204
    assert (await people.refresh(again.refresh_token)).status_code == 400
    assert (await people.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200
    for _ in range(2):  # a second time there is nothing to end, and that is no fault
        assert (await people.client.delete(path, headers=service)).status_code == 204
    assert (await people.client.get(path, headers=service)).json() == []
    assert (await people.refresh(person.refresh_token)).status_code == 400
    assert (await people.events(person.id)).count("auth.user_signed_out") == 2
    nobody = await people.client.get(f"/auth/v1/admin/users/{uuid4()}/sessions", headers=service)
    assert (nobody.status_code, nobody.json()["code"]) == (404, "user_not_found")
