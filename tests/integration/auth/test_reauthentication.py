"""Settings that ask for more before a password is changed.

Apart from the other changes: two workers on one Redis would take each other's jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.factories.auth import PASSWORD
from tests.integration.auth.post import CONFIRMING, running_post, signed_in

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio


async def test_a_nonce_for_old_sessions(connections: Connections) -> None:
    settings = {**CONFIRMING, "auth_security_update_password_require_reauthentication": "true"}
    async with running_post(connections, **settings) as post:
        person = await signed_in(post)
        fresh = await post.call("PUT", "/user", person.bearer, password="another-password")
        assert fresh.status_code == 200
        await post.execute("update auth.sessions set created_at = now() - interval '25 hours'")
        answer = await post.call("PUT", "/user", person.bearer, password="a-third-password")
        assert (answer.status_code, answer.json()["code"]) == (400, "reauthentication_needed")
        assert (await post.call("GET", "/reauthenticate", person.bearer)).json() == {}
        nonce = (await post.letter(person.email, number=3))["code"]
        wrong = await post.call("PUT", "/user", person.bearer, password="a-third-password", nonce="000000x")
        assert (wrong.status_code, wrong.json()["code"]) == (422, "reauthentication_not_valid")
        right = await post.call("PUT", "/user", person.bearer, password="a-third-password", nonce=nonce)
        assert right.status_code == 200, right.text
        again = await post.call("PUT", "/user", person.bearer, password="a-fourth-password", nonce=nonce)
        assert again.json()["code"] == "reauthentication_not_valid"


async def test_the_present_password(connections: Connections) -> None:
    settings = {**CONFIRMING, "auth_security_update_password_require_current_password": "true"}
    async with running_post(connections, **settings) as post:
        person = await signed_in(post)
        answer = await post.call("PUT", "/user", person.bearer, password="another-password")
        assert (answer.status_code, answer.json()["code"]) == (400, "current_password_required")
        answer = await post.call(
            "PUT", "/user", person.bearer, password="another-password", current_password=PASSWORD
        )
        assert answer.status_code == 200
