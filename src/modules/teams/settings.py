"""``MONOHULL_TEAMS_*``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct


class TeamsSettings(Struct, frozen=True, kw_only=True):
    """Who makes teams, and how long invitations into them hold."""

    prefix: ClassVar[str] = "TEAMS_"

    creation: Annotated[
        Literal["users", "staff"],
        Meta(description="Who may create teams: every user, or only who holds teams.teams:create."),
    ] = "users"
    max_owned: Annotated[
        int, Meta(ge=1, le=100_000, description="Teams that one user may own by creating them.")
    ] = 50
    invitation_hours: Annotated[int, Meta(ge=1, le=8760, description="How long an invitation holds.")] = 168
    max_invitations: Annotated[
        int, Meta(ge=1, le=100_000, description="Invitations of one team that wait for an answer.")
    ] = 200
