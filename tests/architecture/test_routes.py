"""Every route demands something of its caller, or says that it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monohull.asgi import create_app
from monohull.kernel.guards import PUBLIC, REQUIRED, signed_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from litestar.handlers import BaseRouteHandler

    from monohull.kernel.app import Application

SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEF"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """The application over addresses where nothing has to listen: it is only looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONOHULL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MONOHULL_ENV", "test")
    monkeypatch.setenv("MONOHULL_DATABASE_URL", "postgresql://owner:x@127.0.0.1:1/app")
    monkeypatch.setenv("MONOHULL_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("MONOHULL_JWT_SECRET", SECRET)
    return create_app()


def handlers(app: Application) -> Iterator[tuple[str, BaseRouteHandler]]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:  # type: ignore[union-attr]
            yield route.path, handler


def test_every_route_is_guarded_or_public(app: Application) -> None:
    open_by_mistake = [
        path
        for path, handler in handlers(app)
        if not handler.opt.get(PUBLIC)
        and not any(hasattr(guard, REQUIRED) or guard is signed_in for guard in handler.guards)
    ]
    assert open_by_mistake == []


def test_no_route_is_guarded_and_public(app: Application) -> None:
    confused = [path for path, handler in handlers(app) if handler.opt.get(PUBLIC) and handler.guards]
    assert confused == []


def test_guards_name_registered_permissions(app: Application) -> None:
    for _, handler in handlers(app):
        for guard in handler.guards:
            if name := getattr(guard, REQUIRED, None):
                app.runtime.permissions.require(name)


def test_the_walk_sees_routes(app: Application) -> None:
    paths = {path for path, _ in handlers(app)}
    assert {"/health/live", "/metrics", "/docs", "/openapi.json", "/platform/v1/status"} <= paths
    assert any(path.startswith("/auth/v1") for path in paths)
