"""Whatever fits the description of ``/auth/v1``, and what does not: no answer is a 500.

``FUZZ_EXAMPLES`` is how many requests each route gets from each caller; a few
in the suite, thousands where somebody looks for more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
import pytest
import schemathesis

from tests.fuzz.described import SERVICE, attack_all, signed_in
from tests.integration.cli.serving import serve
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.timeout(3600)

PREFIX: Final = "/auth/v1"
WITHOUT_LIMITS: Final = {
    f"auth_rate_limit_{name}": "1000000"
    for name in (
        "token_refresh",
        "otp",
        "verify",
        "email_sent",
        "sms_sent",
        "anonymous_users",
        "password_failures",
    )
} | {
    "auth_external_phone_enabled": "true",
    "auth_external_anonymous_users_enabled": "true",
    "auth_sms_provider": "mailbox",
    "auth_passkey_enabled": "true",
    "auth_webauthn_rp_id": "example.com",
    "auth_webauthn_rp_origins": "https://app.example.com",
    "auth_mfa_phone_enroll_enabled": "true",
    "auth_mfa_phone_verify_enabled": "true",
    "auth_mfa_web_authn_enroll_enabled": "true",
    "auth_mfa_web_authn_verify_enabled": "true",
    "auth_mfa_rate_limit_challenge_and_verify": "1000000",
    "auth_oauth_server_enabled": "true",
    "auth_oauth_server_allow_dynamic_registration": "true",
    "auth_rate_limit_oauth_dynamic_client_register": "1000000",
    "auth_saml_enabled": "true",
    "auth_saml_rate_limit_assertion": "1000000",
    "auth_security_manual_linking_enabled": "true",
    "auth_external_google_enabled": "true",
    "auth_external_google_client_id": "any",
    "auth_external_google_secret": "any",
    "auth_rate_limit_external": "1000000",
    "auth_external_web3_ethereum_enabled": "true",
    "auth_external_web3_solana_enabled": "true",
}


@pytest.fixture
def url(connections: Connections, tmp_path: Path) -> Iterator[str]:
    """A server with everything on, and nothing that counts requests."""
    with serve(connections, tmp_path, **WITHOUT_LIMITS) as url:
        yield url


def test_no_request_causes_a_500(url: str) -> None:
    described = schemathesis.openapi.from_url(f"{url}/openapi.json", timeout=PATIENCE_SECONDS)
    schema = described.include(path_regex=f"^{PREFIX}/")
    seen, faults = attack_all(schema, (SERVICE, signed_in(url)))
    assert not faults, "\n".join(faults[:20])
    assert {f"POST {PREFIX}/signup", f"PUT {PREFIX}/user", f"GET {PREFIX}/admin/users"} <= seen


def test_bodies_are_described(url: str) -> None:
    paths = httpx.get(f"{url}/openapi.json", timeout=PATIENCE_SECONDS).json()["paths"]
    without = [
        f"{method} {path}"
        for path, operations in paths.items()
        if path.startswith(f"{PREFIX}/")
        for method, operation in operations.items()
        if method in ("post", "put", "patch") and "requestBody" not in operation
    ]
    assert sorted(without) == [
        f"post {PREFIX}/admin/oauth/clients/{{client_id}}/regenerate_secret",
        f"post {PREFIX}/callback",
        f"post {PREFIX}/factors/recovery-codes",
        f"post {PREFIX}/factors/recovery-codes/regenerate",
        f"post {PREFIX}/logout",
        f"post {PREFIX}/oauth/introspect",
        f"post {PREFIX}/oauth/revoke",
        f"post {PREFIX}/oauth/token",
        f"post {PREFIX}/oauth/userinfo",
        f"post {PREFIX}/passkeys/authentication/options",
        f"post {PREFIX}/passkeys/registration/options",
        f"post {PREFIX}/sso/saml/acs",
    ]
