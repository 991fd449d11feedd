"""``MONOHULL_JWT_*``: keys of one's own, audience, role claim, and settings that cannot work."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from monohull.kernel.authentication import Credentials
from monohull.kernel.settings import SettingsError
from tests.application import JWT_SECRET, running_app, service_key
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


async def test_keys_as_gotrue_takes_them(connections: Connections) -> None:
    """A list, the shared secret among it; public is the one that signs, and no other."""
    kid = "638c54b8-28c2-4b12-9598-ba12ef610a29"
    secret = base64.urlsafe_b64encode(JWT_SECRET.encode()).decode().rstrip("=")
    shared = {"kty": "oct", "k": secret, "kid": "shared", "alg": "HS256", "key_ops": ["verify"]}
    own = RSAKey.generate_key(2048, {"kid": kid, "alg": "RS256", "key_ops": ["sign", "verify"]})
    keys = json.dumps([shared, own.as_dict(private=True)])
    async with running_app(connections, auth_jwt_keys=keys) as served:
        people = People(served)
        person = await people.sign_up()
        (published,) = (await served.client.get("/auth/v1/.well-known/jwks.json")).json()["keys"]
        assert (published["kid"], published["kty"], "d" in published) == (kid, "RSA", False)
        token = jwt.decode(person.tokens["access_token"], RSAKey.import_key(published), algorithms=["RS256"])
        assert token.header["kid"] == kid
        for answer in (
            await served.client.get("/auth/v1/user", headers=person.bearer),
            await served.client.get(
                "/auth/v1/admin/users", headers={"Authorization": f"Bearer {service_key()}"}
            ),
        ):
            assert answer.status_code == 200


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
