"""What production refuses, and what it only advises against."""

from __future__ import annotations

from pathlib import Path

import pytest

from monohull.kernel.configuration import load
from monohull.kernel.hardening import inspect, refusals
from monohull.kernel.settings import Settings, SettingsError, load_core

STRONG = "kD8v2Lq0sXw7Zr4Tn9Yb1Hc6Jm3Pf5Ga"
GOOD = {
    "MONOHULL_ENV": "production",
    "MONOHULL_JWT_SECRET": STRONG,
    "MONOHULL_PUBLIC_URL": "https://api.example.com",
    "MONOHULL_METRICS_PORT": "9464",
    "MONOHULL_DATABASE_URL": "postgresql://app:Zr4Tn9Yb1Hc6@db.example.com/app?sslmode=verify-full",
    "MONOHULL_REDIS_URL": "rediss://:Zr4Tn9Yb1Hc6@redis.example.com",
}


def settings(**changes: str | None) -> Settings:
    environ = {**GOOD, **{f"MONOHULL_{name.upper()}": value for name, value in changes.items()}}
    return load_core(environ={k: v for k, v in environ.items() if v is not None}, project=Path("/nowhere"))


def test_a_good_configuration_has_no_finding() -> None:
    assert inspect(settings()) == []


@pytest.mark.parametrize(
    ("changes", "variable", "says"),
    [
        ({"jwt_secret": None}, "MONOHULL_JWT_SECRET", "must be set"),
        ({"jwt_secret": "short"}, "MONOHULL_JWT_SECRET", "5 characters"),
        ({"jwt_secret": "a" * 40}, "MONOHULL_JWT_SECRET", "different characters"),
        (
            {"jwt_secret": "super-secret-jwt-token-with-at-least-32-characters-long"},
            "MONOHULL_JWT_SECRET",
            "public documentation",
        ),
        ({"database_url": "postgresql://app:postgres@127.0.0.1/app"}, "MONOHULL_DATABASE_URL", "tries first"),
        ({"database_url": "postgresql://app:Password@127.0.0.1/app"}, "MONOHULL_DATABASE_URL", "tries first"),
        (
            {"database_replica_urls": "postgresql://app:secret@127.0.0.1/app"},
            "MONOHULL_DATABASE_REPLICA_URLS",
            "tries first",
        ),
        ({"redis_url": "redis://:redis@127.0.0.1"}, "MONOHULL_REDIS_URL", "tries first"),
        ({"redis_url": "redis://redis.example.com"}, "MONOHULL_REDIS_URL", "add a password"),
        ({"public_url": "http://api.example.com"}, "MONOHULL_PUBLIC_URL", "use https://"),
    ],
)
def test_refused(changes: dict[str, str | None], variable: str, says: str) -> None:
    (fault,) = refusals(settings(**changes))
    assert fault.variable == variable
    assert says in fault.message


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"public_url": "http://api.internal"}, "MONOHULL_PUBLIC_URL"),
        ({"metrics_port": None}, "MONOHULL_METRICS_PORT"),
        ({"public_url": None}, "MONOHULL_PUBLIC_URL"),
        ({"cors_origins": "*"}, "MONOHULL_CORS_ORIGINS"),
        ({"database_url": "postgresql://app:Zr4Tn9Yb1Hc6@db.example.com/app"}, "MONOHULL_DATABASE_URL"),
        (
            {"database_url": "postgresql://app:Zr4Tn9Yb1Hc6@postgres/app?sslmode=disable"},
            "MONOHULL_DATABASE_URL",
        ),
    ],
)
def test_advised(changes: dict[str, str | None], variable: str) -> None:
    found = inspect(settings(**changes))
    assert [(finding.severity, finding.fault.variable) for finding in found] == [("advice", variable)]


def test_embedded_services_and_a_unix_socket_are_fine() -> None:
    assert refusals(settings(database_url=None, jwt_secret=None, redis_url="unix:///run/redis.sock")) == []


def test_no_finding_shows_a_secret() -> None:
    weak = settings(jwt_secret="hunter2hunter2", redis_url="redis://:secret@127.0.0.1")
    text = " ".join(str(finding.fault) for finding in inspect(weak))
    assert "hunter2" not in text
    assert ":secret@" not in text


def test_a_start_in_production_is_refused() -> None:
    with pytest.raises(SettingsError, match="MONOHULL_JWT_SECRET"):
        load({**GOOD, "MONOHULL_JWT_SECRET": "a" * 40}, project=Path("/nowhere"), builtin=())
    assert load(GOOD, project=Path("/nowhere"), builtin=()).settings.core.is_production
