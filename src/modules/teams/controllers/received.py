"""``/platform/v1/team-invitations``: the caller's own invitations, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from modules.teams.dtos import InvitationRef, ReceivedInvitation, TeamView
from modules.teams.services import Received
from monohull.kernel.guards import signed_in
from monohull.kernel.pages import page_of, paged
from monohull.kernel.principal import Principal


class ReceivedController(Controller):
    path = "/team-invitations"
    tags = ("Teams",)
    guards = (signed_in,)

    @get(operation_id="ListReceivedInvitations")
    async def show(
        self,
        request: Request[Any, Any, Any],
        received: NamedDependency[Received],
        principal: NamedDependency[Principal],
    ) -> Response[Sequence[ReceivedInvitation]]:
        """List the open invitations to the caller's confirmed address, the newest first."""
        page = page_of(request)
        found, total = await received.page(page, principal)
        return paged(request, page, found, total)

    @post("/accept", operation_id="AcceptTeamInvitation", status_code=HTTP_200_OK)
    async def accept(
        self,
        received: NamedDependency[Received],
        principal: NamedDependency[Principal],
        data: JSONBody[InvitationRef],
    ) -> TeamView:
        """Join a team, by the token of the mail or the id in the list; for whom it is meant alone."""
        return await received.accept(data, principal)

    @post("/decline", operation_id="DeclineTeamInvitation", status_code=HTTP_204_NO_CONTENT)
    async def decline(
        self,
        received: NamedDependency[Received],
        principal: NamedDependency[Principal],
        data: JSONBody[InvitationRef],
    ) -> None:
        """Turn an invitation down; it is gone."""
        await received.decline(data, principal)
