"""``@supabase/supabase-js`` and ``supabase`` of PyPI sign in against ``monohull serve`` and a worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from joserfc.jwk import RSAKey

from tests.application import JWT_SECRET, anon_key, service_key
from tests.clients.providers import serving
from tests.integration.auth.conftest import shared_connections  # noqa: F401  fixtures are found by name
from tests.integration.auth.idp import CLIENT_ID, CLIENT_SECRET
from tests.integration.auth.post import CONFIRMING
from tests.integration.cli.serving import free_port, serve
from tests.integration.cli.test_commands import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monohull.kernel.home import Connections

FOLDER: Final = Path(__file__).parent
NODE: Final = shutil.which("node")
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
PYTHON: Final = FOLDER / "python" / ".venv" / "bin" / "python"
OAUTH: Final = {"auth_oauth_server_enabled": "true", "auth_oauth_server_allow_dynamic_registration": "true"}
SAML: Final = {"auth_saml_enabled": "true"}
SETTINGS: Final = {
    **CONFIRMING,
    **OAUTH,
    **SAML,
    "auth_site_url": "http://127.0.0.1:3000",
    "auth_security_manual_linking_enabled": "true",
    "outbound_allowed": "127.0.0.1",
    "log_level": "error",
}


def keycloak_at(issuer: str) -> dict[str, str]:
    """Have the provider go by a name that supabase of PyPI knows: it takes no others."""
    return {
        "auth_external_keycloak_enabled": "true",
        "auth_external_keycloak_client_id": CLIENT_ID,
        "auth_external_keycloak_secret": CLIENT_SECRET,
        "auth_external_keycloak_url": issuer,
    }


@pytest.fixture
def server(connections: Connections, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a client; addresses have to be confirmed, and a worker sends what confirms them."""
    with ExitStack() as stack:
        providers = stack.enter_context(serving())
        settings = {**SETTINGS, **keycloak_at(providers["OIDC_ISSUER"])}
        given = {"database_url": connections.owner_url, "redis_url": connections.redis_url, **settings}
        url = stack.enter_context(serve(connections, tmp_path, **settings))
        log = stack.enter_context((tmp_path / "worker.log").open("w"))
        worker = subprocess.Popen(
            [sys.executable, "-m", "monohull", "worker"], cwd=tmp_path, env=environment(**given), stderr=log
        )
        try:
            keys = {"ANON_KEY": anon_key(), "SERVICE_KEY": service_key()}
            yield {**os.environ, "MONOHULL_URL": url, **keys, **providers}
        finally:
            worker.terminate()
            worker.wait(60)


@pytest.mark.skipif(
    NODE is None or not (FOLDER / "javascript" / "node_modules" / "@supabase" / "supabase-js").is_dir(),
    reason="Node.js is not installed, or `make clients` did not bring @supabase/supabase-js",
)
def test_javascript(server: Mapping[str, str]) -> None:
    assert NODE is not None
    run([NODE, "--test", "auth.test.mjs", "external.test.mjs"], FOLDER / "javascript", server)


PROFILE: Final = {
    **{name: "1000000" for name in CONFIRMING if name.startswith("auth_rate_limit")},
    "auth_mailer_autoconfirm": "true",
    "auth_external_anonymous_users_enabled": "true",
    "auth_external_phone_enabled": "true",
    "auth_sms_test_otp": "1234567890:123456",
    "auth_smtp_max_frequency": "1s",
    "auth_sms_max_frequency": "1s",
    "auth_password_min_length": "6",
    "auth_mfa_phone_enroll_enabled": "true",
    "auth_mfa_phone_verify_enabled": "true",
    "auth_mfa_web_authn_enroll_enabled": "true",
    "auth_mfa_web_authn_verify_enabled": "true",
    "auth_passkey_enabled": "true",
    "auth_webauthn_rp_id": "localhost",
    "auth_webauthn_rp_origins": "http://localhost:5173",
    "auth_external_google_enabled": "true",
    "auth_external_google_client_id": "any",
    "auth_external_google_secret": "any",
    "auth_site_url": "http://127.0.0.1:3000",
    "auth_jwt_algorithm": "RS256",
    "log_level": "error",
    **OAUTH,
}
"""What the client's authors test it against, of GoTrue; the sink for mail is the mailbox."""

ALONE_KEY: Final = RSAKey.generate_key(2048, {"kid": "638c54b8-28c2-4b12-9598-ba12ef610a29", "alg": "RS256"})

PROFILES: Final[Mapping[str, Mapping[str, str]]] = {
    "MAIN": {},
    "CONFIRMING": {"auth_mailer_autoconfirm": "false", "auth_external_anonymous_users_enabled": "false"},
    "CLOSED": {"auth_disable_signup": "true", "auth_external_phone_enabled": "false"},
    "SHARED": {"auth_jwt_algorithm": "HS256"},
    "ALONE": {
        "auth_at_root": "true",
        "auth_operator_token": "super-secret-operator-token",
        "auth_jwt_keys": json.dumps([ALONE_KEY.as_dict(private=True)]),
    },
}
"""How the others differ from the first; all of them have one database."""


@pytest.fixture(scope="module")
def profiles(
    shared_connections: Connections,  # noqa: F811  the fixture
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:
    """The environment of a client that tries all profiles; the clients share the servers."""
    with ExitStack() as servers:
        urls = {}
        for name, settings in PROFILES.items():
            folder = tmp_path_factory.mktemp(name)
            urls[name] = servers.enter_context(serve(shared_connections, folder, **{**PROFILE, **settings}))
        keys = {"SERVICE_KEY": service_key(), "JWT_SECRET": JWT_SECRET, "ALONE_KID": str(ALONE_KEY.kid)}
        yield {**os.environ, **urls, **keys}


@pytest.mark.skipif(
    NODE is None or not (FOLDER / "javascript" / "node_modules" / "@supabase" / "supabase-js").is_dir(),
    reason="Node.js is not installed, or `make clients` did not bring @supabase/supabase-js",
)
def test_profiles_of_javascript(profiles: Mapping[str, str]) -> None:
    assert NODE is not None
    run([NODE, "--test", "profiles.test.mjs"], FOLDER / "javascript", profiles)


@pytest.mark.skipif(
    not list((FOLDER / "python" / ".venv").glob("lib/python*/site-packages/supabase_auth")),
    reason="`make clients` brings supabase from PyPI",
)
def test_profiles_of_python(profiles: Mapping[str, str]) -> None:
    run([str(PYTHON), "profiles_suite.py"], FOLDER / "python", profiles)


@pytest.mark.skipif(
    CHROMIUM is None
    or NODE is None
    or not (FOLDER / "javascript" / "node_modules" / "puppeteer-core").is_dir(),
    reason="Chromium is not installed, or `make clients` did not bring puppeteer-core",
)
def test_passkeys_in_a_browser(connections: Connections, tmp_path: Path) -> None:
    assert NODE is not None
    assert CHROMIUM is not None
    port = free_port()
    settings = {
        "auth_passkey_enabled": "true",
        "auth_mfa_web_authn_enroll_enabled": "true",
        "auth_mfa_web_authn_verify_enabled": "true",
        "auth_webauthn_rp_id": "localhost",
        "auth_webauthn_rp_origins": f"http://localhost:{port}",
        "log_level": "error",
    }
    with serve(connections, tmp_path, **settings) as url:
        keys = {"ANON_KEY": anon_key(), "SERVICE_KEY": service_key()}
        browser = {"PAGE_PORT": str(port), "CHROMIUM": CHROMIUM}
        environ = {**os.environ, "MONOHULL_URL": url, **keys, **browser}
        run([NODE, "--test", "passkeys.test.mjs"], FOLDER / "javascript", environ)


@pytest.mark.skipif(
    not list((FOLDER / "python" / ".venv").glob("lib/python*/site-packages/supabase_auth")),
    reason="`make clients` brings supabase from PyPI",
)
def test_python(server: Mapping[str, str]) -> None:
    run([str(PYTHON), "auth_suite.py"], FOLDER / "python", server)


def run(command: list[str], folder: Path, server: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=server, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
