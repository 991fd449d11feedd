"""``MONOHULL_JWT_*``: keys of one's own, audience, role claim, and settings that cannot work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from monohull.kernel.authentication import Credentials
from monohull.kernel.settings import SettingsError
from tests.application import running_app
from tests.integration.auth.people import People

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

KEY = ECKey.generate_key("P-256", {"kid": "own", "alg": "ES256"})


async def test_a_private_key_of_ones_own_signs_and_is_published(connections: Connections) -> None:
    settings = {"jwt_jwks": json.dumps({"keys": [KEY.as_dict(private=True)]}), "jwt_audience": "shop"}
    async with running_app(connections, **settings) as served:
        people = People(served)
        person = await people.sign_up()
        published = (await served.client.get("/.well-known/jwks.json")).json()
        assert published == (await served.client.get("/auth/v1/.well-known/jwks.json")).json()
        token = jwt.decode(
            person.tokens["access_token"], KeySet.import_key_set(published), algorithms=["ES256"]
        )
        assert (token.header["kid"], token.claims["aud"]) == ("own", "shop")
        assert (await served.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200


async def test_the_role_may_stand_elsewhere(connections: Connections) -> None:
    async with running_app(connections, jwt_role_claim_key=".app_metadata.providers[0]") as served:
        person = await People(served).sign_up()
        credentials = Credentials(bearer=person.tokens["access_token"])
        assert (await served.runtime.authentication.authenticate(credentials)).role == "email"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwt_jwks", "no-json-but-long-enough-to-be-a-secret"),
        ("jwt_jwks", '{"keys": [{"kty": "oct", "k": "AAAA", "alg": "none"}]}'),
        ("jwt_role_claim_key", ".role["),
    ],
)
async def test_settings_that_cannot_work_name_the_variable(
    connections: Connections, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=rf"MONOHULL_{name.upper()} \(environment\): "):
        async with running_app(connections, **{name: value}):
            pass
