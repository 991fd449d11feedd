"""``/auth/v1/admin`` and ``/invite``: users by who keeps them.

Wire source: supabase/auth, ``internal/api/{admin,audit,invite,mail,pagination}.go``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Controller, Request, Response, delete, get, post, put
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from modules.auth.audit import list_entries
from modules.auth.controllers.bodies import takes
from modules.auth.dtos import AdminUser, DeleteBody, InviteBody, LinkBody, UserView
from modules.auth.errors import ValidationFailed
from modules.auth.origin import origin_of
from modules.auth.permissions import MANAGE_USERS
from modules.auth.redirects import Redirects
from modules.auth.services import Administration, Invitations
from modules.auth.wire import decode, redirect_of
from monohull.kernel.errors import Forbidden, Unauthenticated
from monohull.kernel.guards import REQUIRED, principal_of
from monohull.kernel.pagination import Page
from monohull.kernel.permissions import grants
from monohull.kernel.runtime import Runtime

DEFAULT_PER_PAGE: Final = 50
MAX_PER_PAGE: Final = 1000
MAX_PAGE: Final = 10_000_000


def administrator(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Demand a service key, or a key with the permission.

    Raises:
        Unauthenticated: 401, there is no bearer token. Forbidden: 403, it is not an administrator's.
    """
    principal = principal_of(connection)
    if grants(principal.permissions, MANAGE_USERS.name):
        return
    credentials = connection.scope["state"].get("credentials")
    if credentials is None or credentials.bearer is None:
        raise Unauthenticated("This needs a service key.")
    raise Forbidden(f"This needs the permission {MANAGE_USERS.name}.")


setattr(administrator, REQUIRED, MANAGE_USERS.name)


class AdminUsersController(Controller):
    path = "/admin/users"
    tags = ("Auth administration",)
    guards = (administrator,)

    @get(operation_id="ListUsers")
    async def show_all(
        self, request: Request[Any, Any, Any], administration: NamedDependency[Administration]
    ) -> Response[dict[str, Any]]:
        """Return a page of the users; ``sort`` is a column and a direction, ``filter`` a part of a name."""
        page = page_of(request)
        sort = request.query_params.get("sort") or "created_at desc"
        users, total = await administration.list_users(page, sort, request.query_params.get("filter"))
        headers = page_headers("/admin/users", page, total)
        return Response({"users": users, "aud": "authenticated"}, headers=headers)

    @post(status_code=HTTP_200_OK, operation_id="CreateUser", operation_class=takes(AdminUser))
    async def create(
        self, request: Request[Any, Any, Any], administration: NamedDependency[Administration]
    ) -> UserView:
        """Create a user, confirmed if the body says so; nothing is sent."""
        return await administration.create(decode(await request.body(), AdminUser), origin_of(request))

    @get("/{user_id:str}", operation_id="GetUserById")
    async def show(self, administration: NamedDependency[Administration], user_id: FromPath[str]) -> UserView:
        """Return a user."""
        return await administration.show(user_id)

    @put("/{user_id:str}", operation_id="UpdateUserById", operation_class=takes(AdminUser))
    async def update(
        self,
        request: Request[Any, Any, Any],
        administration: NamedDependency[Administration],
        user_id: FromPath[str],
    ) -> UserView:
        """Change a user at once; nothing is sent."""
        return await administration.update(user_id, decode(await request.body(), AdminUser))

    @delete(
        "/{user_id:str}",
        status_code=HTTP_200_OK,
        operation_id="DeleteUser",
        operation_class=takes(DeleteBody, required=False),
    )
    async def remove(
        self,
        request: Request[Any, Any, Any],
        administration: NamedDependency[Administration],
        user_id: FromPath[str],
    ) -> dict[str, str]:
        """Delete a user; ``should_soft_delete`` leaves a row that names nobody."""
        body = decode(await request.body() or b"{}", DeleteBody)
        await administration.delete(user_id, softly=body.should_soft_delete)
        return {}


class AdminController(Controller):
    tags = ("Auth administration",)
    guards = (administrator,)

    @post("/invite", status_code=HTTP_200_OK, operation_id="InviteUser", operation_class=takes(InviteBody))
    async def invite(
        self,
        request: Request[Any, Any, Any],
        invitations: NamedDependency[Invitations],
        redirects: NamedDependency[Redirects],
    ) -> UserView:
        """Send an invitation by mail."""
        body = decode(await request.body(), InviteBody)
        return await invitations.invite(body, redirect_of(request, redirects), origin_of(request))

    @post(
        "/admin/generate_link",
        status_code=HTTP_200_OK,
        operation_id="GenerateLink",
        operation_class=takes(LinkBody),
    )
    async def make_link(
        self,
        request: Request[Any, Any, Any],
        invitations: NamedDependency[Invitations],
        redirects: NamedDependency[Redirects],
    ) -> Response[dict[str, Any]]:
        """Return the link that a mail would carry; nothing is sent."""
        body = decode(await request.body(), LinkBody)
        redirect_to = (
            redirects.choose(body.redirect_to) if body.redirect_to else redirect_of(request, redirects)
        )
        link = await invitations.make_link(body, redirect_to, origin_of(request))
        return Response(link, headers={"Cache-Control": "no-store"})

    @get("/admin/audit", operation_id="ListAuditEntries")
    async def audit(
        self, request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
    ) -> Response[Sequence[dict[str, Any]]]:
        """Return a page of the audit log, newest first."""
        page = page_of(request)
        matching = (request.query_params.get("query") or "").replace("\0", "")
        entries, total = await list_entries(runtime.database, page, matching)
        return Response(entries, headers=page_headers("/admin/audit", page, total))


def page_of(request: Request[Any, Any, Any]) -> Page:
    """Read ``page`` and ``per_page``.

    Raises:
        ValidationFailed: 400, one of them is no number from 1 on.
    """
    page = _number(request, "page", 1, MAX_PAGE)
    per_page = _number(request, "per_page", DEFAULT_PER_PAGE, MAX_PER_PAGE)
    return Page(per_page, (page - 1) * per_page)


def _number(request: Request[Any, Any, Any], name: str, default: int, highest: int) -> int:
    text = request.query_params.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= highest:
        raise ValidationFailed(f"Bad Pagination Parameters: {name} must be a number from 1 to {highest}")
    return int(text)


def page_headers(path: str, page: Page, total: int) -> dict[str, str]:
    """Say how many there are in all, and where the next and the last page are."""
    last = max(1, -(-total // page.limit))
    number = page.offset // page.limit + 1
    links = [(number + 1, "next")] if number < last else []
    links.append((last, "last"))
    texts = (f'<{path}?page={to}&per_page={page.limit}>; rel="{name}"' for to, name in links)
    return {"X-Total-Count": str(total), "Link": ", ".join(texts)}
