from __future__ import annotations

from typing import Any

import pytest

from modules.auth.authenticator import TokenAuthenticator
from modules.auth.token_cache import TokenCache
from modules.auth.tokens import TokenCodec
from monohull.kernel import clock
from monohull.kernel.authentication import Credentials
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.keys import legacy_key
from monohull.kernel.principal import Principal, PrincipalKind

SECRET = "a-secret-of-more-than-thirty-two-characters"
CODEC = TokenCodec(secret=SECRET)


def authenticator(**options: Any) -> TokenAuthenticator:
    options = {"role_claim_key": ".role", "anonymous_role": lambda: "anon", **options}
    return TokenAuthenticator(CODEC, cache=TokenCache(), **options)


async def who(**credentials: str) -> Principal | None:
    return await authenticator().authenticate(Credentials(**credentials))


async def test_no_credential_is_somebody_elses() -> None:
    assert await who() is None


@pytest.mark.parametrize("key", ["sb_publishable_x", "sb_secret_x"])
async def test_opaque_keys_pass_through(key: str) -> None:
    assert await who(apikey=key) is None
    assert await who(bearer=key, apikey=legacy_key(SECRET, "anon")) is None


async def test_the_anon_key_is_anonymous_and_no_default() -> None:
    principal = await who(apikey=legacy_key(SECRET, "anon"))
    assert principal is not None
    assert (principal.kind, principal.role, principal.is_default) == (PrincipalKind.ANONYMOUS, "anon", False)
    assert principal.permissions == frozenset()


@pytest.mark.parametrize("role", ["service_role", "supabase_admin"])
async def test_the_service_key_may_do_everything(role: str) -> None:
    principal = await who(apikey=CODEC.sign({"role": role}))
    assert principal is not None
    assert (principal.kind, principal.role, principal.permissions) == (
        PrincipalKind.SERVICE,
        role,
        frozenset("*"),
    )


async def test_a_user_has_subject_claims_and_no_permission_yet() -> None:
    principal = await who(bearer=CODEC.sign({"sub": "u", "role": "authenticated", "session_id": "s"}))
    assert principal is not None
    assert (principal.kind, principal.subject, principal.session_id) == (PrincipalKind.USER, "u", "s")
    assert principal.permissions == frozenset()


async def test_the_bearer_token_wins_over_the_key() -> None:
    principal = await who(apikey=legacy_key(SECRET, "service_role"), bearer=CODEC.sign({"role": "writer"}))
    assert principal is not None
    assert (principal.kind, principal.role) == (PrincipalKind.USER, "writer")


async def test_a_broken_bearer_token_is_not_saved_by_a_good_key() -> None:
    for bearer in ("", "x", CODEC.sign({"exp": 1})):
        with pytest.raises(InvalidCredential):
            await who(apikey=legacy_key(SECRET, "anon"), bearer=bearer)


async def test_a_token_without_role_has_the_anonymous_one_filled_in() -> None:
    found = await authenticator(anonymous_role=lambda: "web").authenticate(
        Credentials(bearer=CODEC.sign({"id": 1}))
    )
    assert found is not None
    assert (found.role, found.claims) == ("web", {"id": 1, "role": "web"})


async def test_the_role_is_where_the_setting_says() -> None:
    token = CODEC.sign({"app_metadata": {"roles": ["writer"]}, "role": "authenticated"})
    found = await authenticator(role_claim_key=".app_metadata.roles[0]").authenticate(
        Credentials(bearer=token)
    )
    assert found is not None
    assert (found.role, found.claims["role"]) == ("writer", "writer")


@pytest.mark.parametrize("claims", [{"role": 7}, {"role": ""}, {"role": "a\0b"}, {"sub": 7}, {"sub": "a\0b"}])
async def test_claims_that_postgres_could_not_take(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredential) as caught:
        await who(bearer=CODEC.sign(claims))
    assert caught.value.reason == "claims"


async def test_a_token_is_verified_once_and_forgotten_when_it_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = authenticator()
    token = CODEC.sign({"sub": "u", "exp": clock.unix_seconds() + 60})
    first = await subject.authenticate(Credentials(bearer=token))
    assert await subject.authenticate(Credentials(bearer=token)) is first
    assert (subject.cache.hits, subject.cache.misses) == (1, 1)
    later = clock.unix_seconds() + 91
    monkeypatch.setattr(clock, "unix_seconds", lambda: later)
    with pytest.raises(InvalidCredential, match="JWT expired"):
        await subject.authenticate(Credentials(bearer=token))
