"""Columns that roles leave count everywhere, so no team lifts what its members are limited to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.teams.clubs import Clubs

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = (403, "beyond_own_roles")
TABLE = """
create table payslips (id int primary key, salary int);
alter table payslips enable row level security;
create policy everybody on payslips using (true);
"""


async def test_a_team_gives_and_takes_no_role_that_limits_columns(clubs: Clubs) -> None:
    await clubs.people.execute(TABLE)
    for role, columns in (("clerk", ["id"]), ("payroll", ["*"])):
        await clubs.made("/roles", name=role)
        limited = await clubs.call("PUT", f"/roles/{role}/columns/public/payslips", {"read": columns})
        assert limited.status_code == 200, limited.text
    boss, clerk = await clubs.people.sign_up(), await clubs.hired("clerk")
    team = await clubs.team(boss)
    seat = f"/teams/{team}/members/{clerk.id}"
    invite = {"email": clerk.email, "role": "payroll"}
    assert await clubs.refused("POST", f"/teams/{team}/invitations", invite, by=boss) == REFUSED
    await clubs.joined(team, "member", clerk)
    assert await clubs.refused("PUT", seat, {"role": "payroll"}, by=boss) == REFUSED
    assert await clubs.refused("PUT", seat, {"role": "clerk"}) == (204, None), "staff may"
    assert await clubs.refused("PUT", seat, {"role": "member"}, by=boss) == REFUSED
    assert await clubs.refused("DELETE", seat, by=boss) == REFUSED
    assert await clubs.refused("DELETE", seat, by=clerk) == REFUSED, "who is limited does not lift it"
    assert await clubs.refused("DELETE", seat) == (204, None)


async def test_an_owner_deletes_no_team_in_which_a_limit_was_given(clubs: Clubs) -> None:
    boss = await clubs.people.sign_up()
    team = await clubs.team(boss)
    clerk = await clubs.joined(team)
    assert await clubs.refused("PUT", f"/teams/{team}/members/{clerk.id}", {"role": "clerk"}) == (204, None)
    assert await clubs.refused("DELETE", f"/teams/{team}", by=boss) == REFUSED
    assert await clubs.refused("DELETE", f"/teams/{team}") == (204, None), "staff may"


async def test_who_is_limited_accepts_no_role_with_more_columns(clubs: Clubs) -> None:
    clerk = await clubs.hired("clerk")
    team = await clubs.team(await clubs.people.sign_up())
    invite = {"email": clerk.email, "role": "payroll"}
    sent = await clubs.call("POST", f"/teams/{team}/invitations", invite)
    assert sent.status_code == 201, sent.text
    (waits,) = (await clubs.call("GET", "/team-invitations", by=clerk)).json()
    accepted = await clubs.refused("POST", "/team-invitations/accept", {"id": waits["id"]}, by=clerk)
    assert accepted == REFUSED
