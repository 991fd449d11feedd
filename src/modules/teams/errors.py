"""Refusals of teams."""

from __future__ import annotations

from monohull.kernel.errors import Conflict, Forbidden, NotFound


class SlugTaken(Conflict):
    """Another team has this slug."""

    code = "slug_taken"
    hint = "Choose another slug."


class TeamInUse(Conflict):
    """Rows of the application belong to the team and do not go with it."""

    code = "team_in_use"
    hint = "Delete the team's rows first, or let the tables' foreign keys say on delete cascade."


class TooManyTeams(Conflict):
    """The user owns as many teams as the settings allow."""

    code = "too_many_teams"
    hint = "Delete a team or give one away; MONOHULL_TEAMS_MAX_OWNED says how many there may be."


class AlreadyMember(Conflict):
    """Whoever is invited is in the team."""

    code = "already_member"
    hint = "Change the member's role instead."


class AlreadyInvited(Conflict):
    """An invitation to this address waits for an answer."""

    code = "already_invited"
    hint = "Send it again, or revoke it first."


class TooManyInvitations(Conflict):
    """As many invitations of the team wait for an answer as the settings allow."""

    code = "too_many_invitations"
    hint = "Revoke some; MONOHULL_TEAMS_MAX_INVITATIONS says how many there may be."


class InvitationUnknown(NotFound):
    """No invitation that is open and addressed to whoever asks; which of it does not hold is not told."""

    code = "invitation_unknown"
    hint = "Sign in with the address that the invitation was sent to and confirm it, or ask for a new one."


class OwnSessionNeeded(Forbidden):
    """Keys, anonymous users and applications of a user are in no teams."""

    code = "own_session_needed"
    hint = "Sign in as a user of this instance, and use no token of an OAuth application."
