"""What happened to teams. Who got or lost a role in one is told by rbac's events too, with ``team_id``."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class TeamCreated(Event, frozen=True):
    """A team exists that did not."""

    name: ClassVar[str] = "teams.team_created"

    team_id: str
    slug: str
    owner_id: str


class TeamUpdated(Event, frozen=True):
    """A team is called otherwise."""

    name: ClassVar[str] = "teams.team_updated"

    team_id: str
    team_name: str
    slug: str
    previous_name: str
    previous_slug: str


class TeamDeleted(Event, frozen=True):
    """A team is gone, with every membership and invitation."""

    name: ClassVar[str] = "teams.team_deleted"

    team_id: str
    slug: str
    members: int


class TeamTransferred(Event, frozen=True):
    """A team has another owner; the one before is its admin."""

    name: ClassVar[str] = "teams.team_transferred"

    team_id: str
    from_user: str
    to_user: str


class TeamMemberJoined(Event, frozen=True):
    """Somebody is in a team who was not; ``invitation_id`` where an invitation was accepted."""

    name: ClassVar[str] = "teams.member_joined"

    team_id: str
    user_id: str
    role: str
    invitation_id: str | None = None


class TeamMemberLeft(Event, frozen=True):
    """Somebody left a team, or was removed from it by another one."""

    name: ClassVar[str] = "teams.member_left"

    team_id: str
    user_id: str
    was_removed: bool


class ActiveTeamChanged(Event, frozen=True):
    """A user works in another team in one session, or in none."""

    name: ClassVar[str] = "teams.active_team_changed"

    user_id: str
    session_id: str
    team_id: str | None


class TeamInvitationSent(Event, frozen=True):
    """Somebody was asked to join a team, for the first time or again."""

    name: ClassVar[str] = "teams.invitation_sent"

    invitation_id: str
    team_id: str
    email: str
    role: str
    is_repeated: bool = False


class TeamInvitationRevoked(Event, frozen=True):
    """An invitation holds no more: it was revoked, or whoever sent it lost a role in the team."""

    name: ClassVar[str] = "teams.invitation_revoked"

    invitation_id: str
    team_id: str
    email: str


class TeamInvitationDeclined(Event, frozen=True):
    """Whoever was invited does not want to join."""

    name: ClassVar[str] = "teams.invitation_declined"

    invitation_id: str
    team_id: str
    user_id: str


TEAM_EVENTS: Final = (
    TeamCreated,
    TeamUpdated,
    TeamDeleted,
    TeamTransferred,
    TeamMemberJoined,
    TeamMemberLeft,
    ActiveTeamChanged,
    TeamInvitationSent,
    TeamInvitationRevoked,
    TeamInvitationDeclined,
)
