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
    """Every handler but those that Litestar makes itself to answer OPTIONS with the methods there are."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:  # type: ignore[union-attr]
            if getattr(handler, "http_methods", None) != {"OPTIONS"}:
                yield route.path, handler


def guards(handler: BaseRouteHandler) -> list[object]:
    """Guards of the handler and of every layer above it."""
    return [guard for layer in handler.ownership_layers for guard in layer.guards or ()]


def test_every_route_is_guarded_or_public(app: Application) -> None:
    open_by_mistake = [
        path
        for path, handler in handlers(app)
        if not handler.opt.get(PUBLIC)
        and not any(hasattr(guard, REQUIRED) or guard is signed_in for guard in guards(handler))
    ]
    assert open_by_mistake == []


def test_no_route_is_guarded_and_public(app: Application) -> None:
    confused = [path for path, handler in handlers(app) if handler.opt.get(PUBLIC) and guards(handler)]
    assert confused == []


def test_no_page_loads_assets_from_other_hosts(app: Application) -> None:
    """Litestar serves such pages unless it is told not to; ours is at /docs."""
    pages = {path for path, _ in handlers(app) if path.startswith("/openapi")}
    assert pages == {"/openapi", "/openapi.json", "/openapi/openapi.json", "/openapi/{path:str}"}


def test_guards_name_registered_permissions(app: Application) -> None:
    for _, handler in handlers(app):
        for guard in guards(handler):
            if name := getattr(guard, REQUIRED, None):
                app.runtime.permissions.require(name)


def test_the_walk_sees_routes(app: Application) -> None:
    paths = {path for path, _ in handlers(app)}
    assert {"/health/live", "/metrics", "/docs", "/openapi.json", "/platform/v1/status"} <= paths
    assert any(path.startswith("/auth/v1") for path in paths)
