"""Keys are made, published, rotated under load in several processes, and retired; nobody is signed out."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from modules.auth.keys import Presenters, build_rotation
from modules.auth.keys.presenters import SECRET
from modules.auth.keys.rotation import KeyInUse, KeyTooNew
from monohull.kernel.errors import NotFound
from monohull.kernel.home import Connections
from monohull.kernel.settings import Secret
from tests.application import anon_key, running_app
from tests.integration.auth.people import V2, People
from tests.patience import eventually

if TYPE_CHECKING:
    from tests.application import Served

JWKS = "/auth/v1/.well-known/jwks.json"


def header_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "=="))
    return found


async def published(served: Served) -> list[dict[str, Any]]:
    answer = await served.client.get(JWKS)
    assert answer.headers["cache-control"] == "public, max-age=600"
    keys: list[dict[str, Any]] = answer.json()["keys"]
    return keys


async def test_a_new_installation_signs_with_a_key_of_its_own(connections: Connections) -> None:
    async with running_app(connections) as served:
        people = People(served)
        person = await people.sign_up()
        current, standby = await published(served)
        header = header_of(person.tokens["access_token"])
        assert header == {"alg": "ES256", "typ": "JWT", "kid": current["kid"]}
        assert standby["kid"] != current["kid"]
        assert not {"d", "k"} & (current.keys() | standby.keys())
        keys = KeySet.import_key_set({"keys": [current, standby]})
        assert jwt.decode(person.tokens["access_token"], keys, algorithms=["ES256"]).claims["sub"] == str(
            person.id
        )
        rows = await people.rows("select private_key from monohull.signing_keys")
        assert all(row["private_key"].startswith("mh1.") for row in rows)


@pytest.mark.parametrize(("algorithm", "kty"), [("RS256", "RSA"), ("EdDSA", "OKP"), ("HS256", None)])
async def test_the_algorithm_is_a_setting(connections: Connections, algorithm: str, kty: str | None) -> None:
    async with running_app(connections, auth_jwt_algorithm=algorithm) as served:
        person = await People(served).sign_up()
        assert header_of(person.tokens["access_token"])["alg"] == algorithm
        assert {key["kty"] for key in await published(served)} == ({kty} if kty else set())
        assert (await served.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200


async def test_a_configured_key_with_a_kid_is_the_only_one_published(connections: Connections) -> None:
    kid = "638c54b8-28c2-4b12-9598-ba12ef610a29"
    key = RSAKey.generate_key(2048, {"kid": kid, "alg": "RS256"})
    async with running_app(connections, jwt_jwks=json.dumps(key.as_dict(private=True))) as served:
        person = await People(served).sign_up()
        assert header_of(person.tokens["access_token"]) == {"alg": "RS256", "typ": "JWT", "kid": kid}
        (only,) = await published(served)
        assert (only["kid"], only["kty"]) == (kid, "RSA")


async def test_processes_that_start_at_once_make_one_pair(connections: Connections) -> None:
    async with AsyncExitStack() as stack:
        many = await asyncio.gather(*(stack.enter_async_context(running_app(connections)) for _ in range(4)))
        answers = await asyncio.gather(*(published(served) for served in many))
        assert all(answer == answers[0] for answer in answers)
        rows = await People(many[0]).rows("select state from monohull.signing_keys order by state")
        assert [row["state"] for row in rows] == ["current", "standby"]


async def test_rotation_fails_no_request_in_any_process(connections: Connections) -> None:
    """Two processes serve and sign while keys are rotated five times."""
    relaxed = {"auth_rate_limit_token_refresh": "1000000", "auth_rate_limit_otp": "1000000"}
    async with running_app(connections, **relaxed) as one, running_app(connections, **relaxed) as two:
        first = await People(one).sign_up()
        failures: list[str] = []
        kids: set[str] = set()
        done = asyncio.Event()

        async def use(signing: Served, checking: Served) -> None:
            token = (await People(signing).sign_up()).refresh_token
            while not done.is_set():
                answer = await People(signing).refresh(token)
                if answer.status_code != 200:
                    failures.append(answer.text)
                    return
                token = answer.json()["refresh_token"]
                access = answer.json()["access_token"]
                kids.add(header_of(access)["kid"])
                for served, bearer in ((checking, access), (checking, first.tokens["access_token"])):
                    shown = await served.client.get(
                        "/auth/v1/user", headers={"Authorization": f"Bearer {bearer}", **V2}
                    )
                    if shown.status_code != 200:
                        failures.append(shown.text)

        def has_signed(number: int) -> bool:
            return len(kids) >= number

        async def rotate() -> None:
            for number in range(1, 6):
                await eventually(partial(has_signed, number))
                await build_rotation(one.runtime).rotate(now=True)
            await eventually(partial(has_signed, 6))
            done.set()

        await asyncio.gather(use(one, two), use(two, one), use(one, one), rotate())
        assert failures == []

        async def both() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            return await published(one), await published(two)

        await eventually(both, lambda found: found[0] == found[1])
        assert len(await published(one)) == 7


async def test_a_key_that_a_process_has_not_heard_of_is_looked_for(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no notification arrives, as behind a pooler, and however many unknown keys are presented."""
    monkeypatch.setattr("modules.auth.keys.ring.KeyRing.request_reload", lambda *_: None)
    async with running_app(connections) as one, running_app(connections) as two:
        await published(two)
        await build_rotation(one.runtime).rotate(now=True)
        await build_rotation(one.runtime).rotate(now=True)
    stranger = ECKey.generate_key("P-256")
    forged = jwt.encode({"alg": "ES256", "kid": "nobody"}, {"sub": "x"}, stranger)
    async with running_app(connections) as one, running_app(connections) as two:
        await build_rotation(one.runtime).rotate(now=True)
        await build_rotation(one.runtime).rotate(now=True)
        async with running_app(connections) as three:
            person = await People(three).sign_up()
        flood = [
            two.client.get("/auth/v1/user", headers={"Authorization": f"Bearer {forged}"}) for _ in range(50)
        ]
        answers = await asyncio.gather(*flood, two.client.get("/auth/v1/user", headers=person.bearer))
        assert {answer.status_code for answer in answers[:-1]} == {403}
        assert answers[-1].status_code == 200


async def test_the_next_key_has_to_be_known_first(connections: Connections) -> None:
    async with running_app(connections) as served:
        people, rotation = People(served), build_rotation(served.runtime)
        with pytest.raises(KeyTooNew, match=r"another \d+ s"):
            await rotation.rotate()
        before = await published(served)
        await people.execute("update monohull.signing_keys set created_at = now() - interval '11 minutes'")
        after = await rotation.rotate()
        assert [key.state for key in after] == ["current", "standby", "previous"]
        assert (after[0].kid, after[2].kid) == (before[1]["kid"], before[0]["kid"])


async def test_a_previous_key_is_retired_once_its_tokens_are_over(connections: Connections) -> None:
    async with running_app(connections) as served:
        people, rotation = People(served), build_rotation(served.runtime)
        person = await people.sign_up()
        kid = header_of(person.tokens["access_token"])["kid"]
        with pytest.raises(KeyInUse, match="is current"):
            await rotation.retire(kid)
        await rotation.rotate(now=True)
        with pytest.raises(KeyInUse, match="may be alive until"):
            await rotation.retire(kid)
        with pytest.raises(NotFound):
            await rotation.retire("no-such-key")
        assert await rotation.retire() == []
        assert (await served.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200
        await people.execute(
            "update monohull.signing_keys set previous_at = now() - interval '62 minutes'"
            " where state = 'previous'"
        )
        (retired,) = await rotation.retire()
        assert (retired.kid, retired.state) == (kid, "retired")

        async def is_withdrawn() -> bool:
            return kid not in {key["kid"] for key in await published(served)}

        await eventually(is_withdrawn)
        assert (await served.client.get("/auth/v1/user", headers=person.bearer)).status_code == 403
        again = await people.refresh(person.refresh_token)
        assert again.status_code == 200  # the session itself outlives every key
        (row,) = await people.rows("select private_key from monohull.signing_keys where kid = $1", kid)
        assert row["private_key"] is None


async def test_who_presents_an_old_key_is_told(connections: Connections) -> None:
    async with running_app(connections) as served:
        people = People(served)
        person, other = await people.sign_up(), await people.sign_up()
        kid = header_of(person.tokens["access_token"])["kid"]
        await served.client.get("/auth/v1/user", headers=other.bearer)
        await build_rotation(served.runtime).rotate(now=True)

        async def is_rotated() -> bool:
            current = (await published(served))[0]
            return bool(current["kid"] != kid)

        await eventually(is_rotated)
        await served.client.get("/auth/v1/user", headers=person.bearer)
        await served.client.get("/auth/v1/settings", headers={"apikey": anon_key()})
        await served.client.get("/auth/v1/user", headers=(await people.sign_in(other.email)).bearer)
    async with running_app(connections) as served:
        presenters = Presenters(served.runtime.redis)
        assert [name for name, _ in await presenters.of(kid)] == [f"user {person.id}"]
        assert [name for name, _ in await presenters.of(SECRET)] == ["role anon"]


async def test_under_another_secret_nothing_is_signed_until_keys_are_made_anew(
    connections: Connections,
) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up()
    other = "another-secret-for-tests-only-0123456789-abcdef"
    async with running_app(connections, jwt_secret=other) as served:
        people = People(served)
        refused = await people.refresh(person.refresh_token)
        assert (refused.status_code, refused.json()["code"]) == (503, "signing_unavailable")
        assert (await served.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200
        await build_rotation(served.runtime).rotate(now=True)

        async def signs() -> bool:
            return (await people.refresh(person.refresh_token)).status_code == 200

        await eventually(signs)
        assert (await served.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200


async def test_without_a_database_nothing_is_signed_and_the_process_starts(connections: Connections) -> None:
    away = "postgresql://nobody@127.0.0.1:1/nothing"
    lost = Connections(Secret(away), Secret(away), connections.redis_url)
    async with running_app(lost) as served:
        answer = await served.client.get(JWKS, headers=V2)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
