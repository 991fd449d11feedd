"""An authenticator app, written from RFC 6238 and not from the code under test, and what one does with it."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from monohull.kernel import clock
from tests.integration.auth.people import Person

if TYPE_CHECKING:
    import httpx

    from tests.integration.auth.post import Post


class App(Struct, frozen=True):
    """What an app knows of one factor."""

    factor_id: str
    uri: str

    def code(self, steps: int = 0) -> str:
        """The six digits that the app shows, ``steps`` times 30 s from now."""
        secret = parse_qs(urlsplit(self.uri).query)["secret"][0]
        counter = clock.unix_seconds() // 30 + steps
        mac = hmac.new(base64.b32decode(secret), counter.to_bytes(8, "big"), "sha1").digest()
        start = mac[19] % 16
        return str((int.from_bytes(mac[start : start + 4], "big") % 2**31) % 10**6).zfill(6)


async def enroll(post: Post, person: Person, name: str = "phone") -> App:
    answer = await post.call("POST", "/factors", person.bearer, factor_type="totp", friendly_name=name)
    assert answer.status_code == 200, answer.text
    return App(answer.json()["id"], answer.json()["totp"]["uri"])


async def challenge(post: Post, person: Person, factor_id: str, **body: Any) -> str:
    answer = await post.call("POST", f"/factors/{factor_id}/challenge", person.bearer, **body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def answer_with(post: Post, person: Person, factor_id: str, code: str) -> httpx.Response:
    """Ask a factor and answer at once."""
    asked = await challenge(post, person, factor_id)
    return await post.call(
        "POST", f"/factors/{factor_id}/verify", person.bearer, challenge_id=asked, code=code
    )


async def strengthened(post: Post, person: Person, app: App) -> Person:
    """Answer with the code of now, whatever was used before; return the stronger session."""
    await post.execute("update auth.mfa_factors set last_used_step = null where id = $1::uuid", app.factor_id)
    answer = await answer_with(post, person, app.factor_id, app.code())
    assert answer.status_code == 200, answer.text
    return Person(person.email, answer.json())
