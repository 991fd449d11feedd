"""Whatever fits the description of ``/auth/v1``, and what does not: no answer is a 500.

``FUZZ_EXAMPLES`` is how many requests each route gets from each caller; a few
in the suite, thousands where somebody looks for more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.application import anon_key, service_key
from tests.integration.cli.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.timeout(3600)

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "6"))
PREFIX: Final = "/auth/v1"
SERVICE: Final = {"Authorization": f"Bearer {service_key()}", "apikey": service_key()}
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


def signed_in(url: str) -> dict[str, str]:
    """Sign somebody new in."""
    link = httpx.post(
        f"{url}{PREFIX}/admin/generate_link",
        json={"type": "invite", "email": f"{uuid4().hex}@example.com"},
        headers=SERVICE,
    ).json()
    answer = httpx.post(
        f"{url}{PREFIX}/verify", json={"type": "invite", "token_hash": link["hashed_token"]}
    ).json()
    return {"Authorization": f"Bearer {answer['access_token']}", "apikey": anon_key()}


def attack(
    operation: Any, callers: tuple[dict[str, str], ...], mode: GenerationMode, faults: list[str]
) -> None:
    """Send what the description allows, or what it does not, as each of the callers."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        for headers in callers:
            answer = case.call(headers=headers)
            if answer.status_code >= 500:
                faults.append(f"{case.as_curl_command()}: {answer.status_code} {answer.text[:300]}")

    send()


def test_no_request_causes_a_500(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").include(path_regex=f"^{PREFIX}/")
    faults: list[str] = []
    seen = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        seen.add(operation.label)
        callers = (SERVICE, signed_in(url))
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            attack(operation, callers, mode, faults)
    assert not faults, "\n".join(faults[:20])
    assert {f"POST {PREFIX}/signup", f"PUT {PREFIX}/user", f"GET {PREFIX}/admin/users"} <= seen


def test_bodies_are_described(url: str) -> None:
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
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
