"""``/platform/v1/teams/{team}/invitations``: who is asked to join a team."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from modules.auth import origin_of
from modules.teams.dtos import InvitationView, Invite, Resend
from modules.teams.guards import in_team
from modules.teams.permissions import WRITE_MEMBERS
from modules.teams.services import TeamInvitations
from modules.teams.services.invitations import NO_INVITATION
from modules.teams.services.standing import ABSENT
from monohull.kernel.pages import id_of, page_of, paged
from monohull.kernel.principal import Principal


class InvitationsController(Controller):
    path = "/teams/{team_id:str}/invitations"
    tags = ("Teams",)
    guards = (in_team(WRITE_MEMBERS),)

    @get(operation_id="ListTeamInvitations")
    async def show(
        self,
        request: Request[Any, Any, Any],
        team_invitations: NamedDependency[TeamInvitations],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
    ) -> Response[Sequence[InvitationView]]:
        """List a team's invitations, the newest first; those that are over can be sent again."""
        page = page_of(request)
        found, total = await team_invitations.page(id_of(team_id, ABSENT), page, principal)
        return paged(request, page, found, total)

    @post(operation_id="InviteToTeam")
    async def invite(
        self,
        request: Request[Any, Any, Any],
        team_invitations: NamedDependency[TeamInvitations],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
        data: JSONBody[Invite],
    ) -> InvitationView:
        """Ask somebody by mail to join; whether the address is a user's makes no difference."""
        return await team_invitations.invite(id_of(team_id, ABSENT), data, principal, origin_of(request))

    @post("/{invitation_id:str}/resend", operation_id="ResendTeamInvitation", status_code=HTTP_200_OK)
    async def resend(  # noqa: PLR0913, PLR0917 each answers one question about the request
        self,
        request: Request[Any, Any, Any],
        team_invitations: NamedDependency[TeamInvitations],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
        invitation_id: FromPath[str],
        data: JSONBody[Resend],
    ) -> InvitationView:
        """Send a new mail with a new link and time; the link before it leads nowhere any more."""
        team, invitation = id_of(team_id, ABSENT), id_of(invitation_id, NO_INVITATION)
        return await team_invitations.resend(
            team, invitation, data.redirect_to, principal, origin_of(request)
        )

    @delete("/{invitation_id:str}", operation_id="RevokeTeamInvitation")
    async def revoke(
        self,
        team_invitations: NamedDependency[TeamInvitations],
        principal: NamedDependency[Principal],
        team_id: FromPath[str],
        invitation_id: FromPath[str],
    ) -> None:
        """End an invitation."""
        team, invitation = id_of(team_id, ABSENT), id_of(invitation_id, NO_INVITATION)
        await team_invitations.revoke(team, invitation, principal)
