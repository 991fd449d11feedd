"""Bodies of ``/platform/v1/teams``, ``/team-invitations`` and ``/active-team``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from monohull.kernel.patterns import END

TeamName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\ud800-\udfff]+" + END)
]
Slug: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" + END)]
RoleRef: TypeAlias = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00\ud800-\udfff]+$")]
Address: TypeAlias = Annotated[str, Meta(min_length=3, max_length=255, pattern=r"^[^\x00\ud800-\udfff]+$")]
Url: TypeAlias = Annotated[str, Meta(max_length=2048, pattern=r"^[^\x00\ud800-\udfff]*$")]
Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


class CreateTeam(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A team to be made; ``slug`` names it in addresses and is unique. The owner is the caller by default."""

    name: TeamName
    slug: Slug
    owner_id: UUID | None = None


class TeamPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different."""

    name: TeamName | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET


class TeamView(Struct, frozen=True, kw_only=True):
    """A team; ``roles`` are those that the caller has in it."""

    id: UUID
    name: str
    slug: str
    roles: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class TeamMember(Struct, frozen=True, kw_only=True):
    """Somebody in a team, with all their roles there. ``email`` is shown to who may change members."""

    user_id: UUID
    email: str | None
    roles: tuple[str, ...]
    since: datetime


class MemberRole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The role that a member has from now on, in place of those before; a name or an id."""

    role: RoleRef


class Transfer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The member who is owner from now on."""

    user_id: UUID


class ActiveTeam(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The team that the session works in from now on."""

    team_id: UUID


class Invite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is asked to join, and with which role.

    ``redirect_to`` is where the link of the mail leads, if the settings allow it.
    """

    email: Address
    role: RoleRef = "member"
    redirect_to: Url | None = None


class Resend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the link of the new mail leads, as in `Invite`."""

    redirect_to: Url | None = None


class InvitationView(Struct, frozen=True, kw_only=True):
    """An invitation, for those who may send one."""

    id: UUID
    team_id: UUID
    email: str
    role: str
    invited_by: UUID | None
    created_at: datetime
    sent_at: datetime
    expires_at: datetime


class ReceivedInvitation(Struct, frozen=True, kw_only=True):
    """An invitation, for whoever it is addressed to."""

    id: UUID
    team_id: UUID
    team_name: str
    role: str
    expires_at: datetime


class InvitationRef(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which invitation is answered: by the token of the mail, or by the id in one's own list."""

    token: Token | None = None
    id: UUID | None = None

    def __post_init__(self) -> None:
        if (self.token is None) is (self.id is None):
            raise ValueError("one of token and id says which invitation")
