"""Each weak or wrong setting is refused by ``monohull config check --env production``, by its name."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from monohull.kernel.keys import legacy_key

if TYPE_CHECKING:
    from collections.abc import Mapping

STRONG = "kD8v2Lq0sXw7Zr4Tn9Yb1Hc6Jm3Pf5Ga"
GOOD = {
    "MONOHULL_JWT_SECRET": STRONG,
    "MONOHULL_PUBLIC_URL": "https://api.example.com",
    "MONOHULL_DATABASE_URL": "postgresql://app:Zr4Tn9Yb1Hc6@db.example.com/app?sslmode=verify-full",
    "MONOHULL_REDIS_URL": "rediss://:Zr4Tn9Yb1Hc6@redis.example.com",
    "MONOHULL_METRICS_PORT": "9464",
    "MONOHULL_TRUSTED_PROXIES": "10.0.0.0/8",
    "MONOHULL_OUTBOUND_ALLOWED": "10.20.0.0/16,hooks.example.internal",
    "MONOHULL_CORS_ORIGINS": "https://app.example.com",
    "MONOHULL_AUTH_SITE_URL": "https://app.example.com",
    "MONOHULL_AUTH_URI_ALLOW_LIST": "https://*.example.com/**,com.example.app://callback",
    "MONOHULL_AUTH_SMTP_HOST": "mail.example.com",
    "MONOHULL_AUTH_SMTP_ADMIN_EMAIL": "noreply@example.com",
    "MONOHULL_AUTH_EXTERNAL_GITHUB_ENABLED": "true",
    "MONOHULL_AUTH_EXTERNAL_GITHUB_CLIENT_ID": "Iv1.0123456789abcdef",
    "MONOHULL_AUTH_EXTERNAL_GITHUB_SECRET": "0123456789abcdef0123456789abcdef01234567",
    "MONOHULL_AUDIT_SIGNING_SECRET": "Qp4Wz8Xr2Ty6Uv0Na3Bm7Kc1Le5Jd9Hg",
}
ANON, SERVICE = legacy_key(STRONG, "anon"), legacy_key(STRONG, "service_role")
SHORT_KEY = base64.urlsafe_b64encode(b"sixteen-bytes-ok").decode()
SMALL_RSA = {"kty": "RSA", "e": "AQAB", "n": base64.urlsafe_b64encode(b"\xff" * 128).decode().rstrip("=")}

DATABASE = "postgresql://app:{}@db.example.com/app?sslmode={}"

WEAK: dict[str, tuple[str, str | None, str]] = {
    # the kernel's: name of the case, variable, value (None: unset), what is said to do
    "no secret": ("JWT_SECRET", None, "openssl rand"),
    "short secret": ("JWT_SECRET", "hunter2", "openssl rand"),
    "published secret": (
        "JWT_SECRET",
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "openssl rand",
    ),
    "repeated secret": ("JWT_SECRET", "ab" * 20, "openssl rand"),
    "small key set": (
        "JWT_JWKS",
        json.dumps({"keys": [{"kty": "oct", "k": SHORT_KEY}]}),
        "make a longer one",
    ),
    "small RSA key": ("JWT_JWKS", json.dumps({"keys": [SMALL_RSA]}), "2048 are needed"),
    "users' own role": ("JWT_ROLE_CLAIM_KEY", ".user_metadata.role", "take a claim of the issuer"),
    "keys swapped": ("ANON_KEY", SERVICE, "unset it"),
    "no service key": ("SERVICE_KEY", ANON, "unset it"),
    "database's password": ("DATABASE_URL", DATABASE.format("postgres", "verify-full"), "change it"),
    "login's password": ("DATABASE_AUTHENTICATOR_URL", DATABASE.format("changeme", "require"), "change it"),
    "replica's password": ("DATABASE_REPLICA_URLS", DATABASE.format("secret", "require"), "change it"),
    "database in the clear": ("DATABASE_URL", DATABASE.format("Zr4Tn9Yb1Hc6", "disable"), "verify-full"),
    "replica in the clear": (
        "DATABASE_REPLICA_URLS",
        DATABASE.format("Zr4Tn9Yb1Hc6", "allow"),
        "verify-full",
    ),
    "redis' password": ("REDIS_URL", "rediss://:redis@redis.example.com", "change it"),
    "redis without one": ("REDIS_URL", "redis://redis:6379/0", "add a password"),
    "sentinels without one": ("REDIS_URL", "redis+sentinel://a,b/main", "add a password"),
    "any redis": ("REDIS_URL", "rediss://:Zr4Tn9Yb1Hc6@redis.example.com?ssl_cert_reqs=none", "required"),
    "public address": ("PUBLIC_URL", "http://api.example.com", "https://"),
    "forged origin": ("CORS_ORIGINS", "http://app.example.com", "https://"),
    "any proxy": ("TRUSTED_PROXIES", "0.0.0.0/0", "name your proxies"),
    "any proxy of version 6": ("TRUSTED_PROXIES", "10.0.0.0/8,::/0", "name your proxies"),
    "any private host": ("OUTBOUND_ALLOWED", "0.0.0.0/0", "name single networks"),
    "metadata": ("OUTBOUND_ALLOWED", "169.254.169.254", "take it out"),
    "metadata by name": ("OUTBOUND_ALLOWED", "metadata.google.internal", "take it out"),
    "bodies": ("BODY_LIMIT_BYTES", "2000000000", "at most 100000000"),
    # the data API's
    "anonymous is an administrator": ("REST_ANON_ROLE", "service_role", "say anon"),
    "anonymous is the owner": ("REST_ANON_ROLE", "app", "say anon"),
    "exposed schema": ("REST_SCHEMAS", "public,auth", "take it out"),
    "plans": ("REST_PLAN", "true", "say false"),
    "plans by the other name": ("REST_PLAN_ENABLED", "true", "say false"),
    "description": ("REST_OPENAPI_MODE", "ignore-privileges", "follow-privileges"),
    "forged origin of data": ("REST_SERVER_CORS_ALLOWED_ORIGINS", "http://app.example.com", "https://"),
    "no rate limit": ("REST_RATE_LIMIT", "0", "requests a minute"),
    "no end": ("REST_STATEMENT_TIMEOUT_SECONDS", "0", "say 60"),
    "no ceiling": ("REST_MAX_ROWS", "", "say 1000"),
    "nothing kept": ("REST_TX_END", "rollback", "say commit"),
    # sign-in's
    "addresses": ("AUTH_MAILER_AUTOCONFIRM", "true", "MONOHULL_AUTH_SMTP_HOST"),
    "numbers": ("AUTH_SMS_AUTOCONFIRM", "true", "say false"),
    "fixed codes": ("AUTH_SMS_TEST_OTP", "4915112345678=123456", "unset it"),
    "short passwords": ("AUTH_PASSWORD_MIN_LENGTH", "6", "8 are needed"),
    "guessed passwords": ("AUTH_RATE_LIMIT_ACCOUNT_FAILURES", "1000000", "at most 100"),
    "guessed from one place": ("AUTH_RATE_LIMIT_PASSWORD_FAILURES", "1000000", "at most 1000"),
    "guessed codes": ("AUTH_RATE_LIMIT_VERIFY", "1000000", "at most 3000"),
    "guessed factors": ("AUTH_RATE_LIMIT_FACTOR_FAILURES", "1000000", "at most 100"),
    "guessed challenges": ("AUTH_MFA_RATE_LIMIT_CHALLENGE_AND_VERIFY", "1000000", "at most 300"),
    "long tokens": ("AUTH_JWT_EXP", "604800", "at most 86400"),
    "no rotation": ("AUTH_SECURITY_REFRESH_TOKEN_ROTATION_ENABLED", "false", "say true"),
    "long reuse": ("AUTH_SECURITY_REFRESH_TOKEN_REUSE_INTERVAL", "3600", "at most 60"),
    "site": ("AUTH_SITE_URL", "http://app.example.com", "https://"),
    "any redirect": ("AUTH_URI_ALLOW_LIST", "https://app.example.com/**,https://**", "name your own hosts"),
    "any host of a suffix": ("AUTH_URI_ALLOW_LIST", "https://*.com/", "name your own hosts"),
    "redirect in the clear": ("AUTH_URI_ALLOW_LIST", "http://app.example.com/**", "https://"),
    "keys' origin": ("AUTH_WEBAUTHN_RP_ORIGINS", "http://app.example.com", "https://"),
    "mail in the clear": ("AUTH_SMTP_TLS", "none", "say auto"),
    "mail from nowhere": ("AUTH_SMTP_ADMIN_EMAIL", None, "address that mails come from"),
    "hook": ("AUTH_HOOK_SEND_EMAIL_URI", "http://hooks.example.com/mail", "https://"),
    "text messages": ("AUTH_SMS_TWILIO_URL", "http://sms.example.com", "https://"),
    "leaked passwords": ("AUTH_PASSWORD_HIBP_URL", "http://pwned.example.com/", "https://"),
    "provider": ("AUTH_EXTERNAL_GITHUB_URL", "http://git.example.com", "https://"),
    "half a provider": ("AUTH_EXTERNAL_GITHUB_CLIENT_ID", None, "must be set"),
    # the audit log's
    "checkpoints": ("AUDIT_SIGNING_SECRET", "short", "openssl rand"),
    "one secret for two": ("AUDIT_SIGNING_SECRET", STRONG, "make another"),
}

TOGETHER: dict[str, tuple[dict[str, str | None], str, str]] = {
    "base64 of few bytes": (
        {"JWT_SECRET": "a2V5LWluLWJhc2U2NC13aXRoLTI0LWJ5", "JWT_SECRET_IS_BASE64": "true"},
        "JWT_SECRET",
        "32 are needed",
    ),
    "a captcha that cannot be asked": (
        {"AUTH_SECURITY_CAPTCHA_ENABLED": "true"},
        "AUTH_SECURITY_CAPTCHA_SECRET",
        "must be set",
    ),
    "assertions that cannot be read": (
        {"AUTH_SAML_ENABLED": "true", "AUTH_SAML_ALLOW_ENCRYPTED_ASSERTIONS": "true"},
        "AUTH_SAML_PRIVATE_KEY",
        "must be set",
    ),
    "a factor that is never accepted": (
        {"AUTH_MFA_TOTP_VERIFY_ENABLED": "false"},
        "AUTH_MFA_TOTP_VERIFY_ENABLED",
        "forbid to enrol",
    ),
}


class Ran(NamedTuple):
    """What one call of the command did."""

    code: int
    stdout: str
    stderr: str


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")}
    given: dict[str, str | None] = {**GOOD, **{f"MONOHULL_{name}": value for name, value in changes.items()}}
    return plain | {name: value for name, value in given.items() if value is not None}


def monohull(cwd: Path, *arguments: str, **environ: str) -> Ran:
    ran = subprocess.run(
        [sys.executable, "-m", "monohull", *arguments],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def config_check(cwd: Path, *arguments: str, **changes: str | None) -> Ran:
    """Run the command as somebody would."""
    return monohull(cwd, *CHECK, *arguments, **environment(changes))


CASES = {**{case: ({name: value}, name, hint) for case, (name, value, hint) in WEAK.items()}, **TOGETHER}
CHECK = ("config", "check", "--env", "production")


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """The command's answer to each case, each given by a process of its own."""
    folder = tmp_path_factory.mktemp("checks")
    asked = [
        {"arguments": CHECK, "environ": environment(changes), "folder": str(folder)}
        for changes, _, _ in CASES.values()
    ]
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    program = Path(__file__).with_name("many_commands.py")
    done = subprocess.run(
        [sys.executable, program, folder / "asked.json"],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return {case: Ran(**ran) for case, ran in zip(CASES, json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize("case", CASES)
def test_a_weak_setting_is_refused_by_its_name(checked: dict[str, Ran], case: str) -> None:
    changes, name, hint = CASES[case]
    ran = checked[case]
    assert ran.code == 2, ran.stdout
    (line,) = ran.stderr.splitlines()
    source = "environment" if changes.get(name) is not None else "default"
    assert line.startswith(f"refused: MONOHULL_{name} ({source}): ")
    assert hint in line
    assert "The configuration holds" not in ran.stdout
    secrets = {"Zr4Tn9Yb1Hc6", STRONG, SERVICE, SHORT_KEY, "hunter2", "changeme"}
    assert not [secret for secret in secrets if secret in line]


def test_a_good_configuration_passes(tmp_path: Path) -> None:
    ran = config_check(tmp_path, "--json")
    assert (ran.code, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == {"ok": True, "findings": []}


def test_there_are_more_than_twenty_and_each_is_one_of_its_own() -> None:
    assert len({name for name, _, _ in WEAK.values()}) >= 40
    assert set(GOOD) >= {"MONOHULL_JWT_SECRET", "MONOHULL_DATABASE_URL", "MONOHULL_REDIS_URL"}


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    ran = config_check(tmp_path, "--json", REST_PLAN="true", AUTH_JWT_EXP="604800", REDIS_URL="redis://r")
    report = json.loads(ran.stdout)
    assert ran.code == 2
    assert report["ok"] is False
    assert [finding["variable"] for finding in report["findings"]] == [
        "MONOHULL_REDIS_URL",
        "MONOHULL_AUTH_JWT_EXP",
        "MONOHULL_REST_PLAN",
    ]


def test_the_file_of_the_project_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "monohull.toml").write_text("[rest]\nrate_limit = 0\n", encoding="utf-8")
    ran = config_check(tmp_path)
    assert ran.code == 2
    assert ran.stderr.startswith("refused: MONOHULL_REST_RATE_LIMIT (monohull.toml): ")


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_start_is_refused_too(tmp_path: Path, command: str) -> None:
    environ = environment({"ENV": "production", "AUTH_MAILER_AUTOCONFIRM": "true"})
    ran = monohull(tmp_path, command, **environ)
    assert ran.code == 2, ran.stderr
    assert "MONOHULL_AUTH_MAILER_AUTOCONFIRM" in ran.stderr
