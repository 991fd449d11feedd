"""Answer a wire's routes at the root as well: ``/signup`` for ``/auth/v1/signup``.

A request that is not for an address of the root is led to the prefix before the
edge sees it, so that limits, problems and traces are those of the one route
there is. Addresses of the root keep what they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from monohull.kernel.asgi import ASGIApp, Receive, Scope, Send


class RootPaths:
    """Leads requests below a prefix.

    Args:
        inner: What answers.
        prefix: ``/auth/v1``.
        taken: Every path that something is at, with the prefixes of mounts.
    """

    def __init__(self, inner: ASGIApp, prefix: str, taken: Iterable[str]) -> None:
        self._inner = inner
        self._prefix = prefix
        paths = list(taken)
        self._heads = {_head(path.removeprefix(prefix)) for path in paths if path.startswith(f"{prefix}/")}
        self._root = frozenset(path.rstrip("/") for path in paths)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path: str = scope["path"]
        if scope["type"] == "http" and self.leads(path):
            scope["path"] = self._prefix + path
            if (raw := scope.get("raw_path")) is not None:
                scope["raw_path"] = self._prefix.encode() + raw
        return self._inner(scope, receive, send)

    def leads(self, path: str) -> bool:
        """Say whether ``path`` is a route of the prefix and nothing of the root."""
        head = _head(path)
        if head not in self._heads or path.rstrip("/") in self._root:
            return False
        below_is_taken = any(known.startswith(f"/{head}/") for known in self._root)
        return not below_is_taken or path.rstrip("/") == f"/{head}"


def _head(path: str) -> str:
    return path.lstrip("/").partition("/")[0]
