"""The team that a session works in: in policies at once, in tokens after the next refresh."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from modules.auth.tokens import TokenCodec
from tests.application import JWT_SECRET

if TYPE_CHECKING:
    from tests.integration.auth.people import Person
    from tests.integration.teams.clubs import Clubs

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACTIVE = "select monohull.active_team()::text"


async def refreshed(clubs: Clubs, person: Person) -> Person:
    answer = await clubs.people.refresh(person.refresh_token)
    assert answer.status_code == 200, answer.text
    return type(person)(person.email, answer.json())


async def claim(clubs: Clubs, person: Person) -> Any:
    return (await clubs.people.claims(person.tokens["access_token"]))["app_metadata"].get("active_team")


async def test_a_session_switches(clubs: Clubs) -> None:
    person = await clubs.people.sign_up()
    one, two = await clubs.team(person), await clubs.team(person)
    elsewhere = await clubs.people.sign_in(person.email)
    assert await clubs.refused("GET", "/active-team", by=person) == (404, "not_found")
    for team in (one, two):
        switched = await clubs.call("PUT", "/active-team", {"team_id": team}, by=person)
        assert (switched.status_code, switched.json()["id"], switched.json()["roles"]) == (
            200,
            team,
            ["owner"],
        )
        assert (await clubs.call("GET", "/active-team", by=person)).json() == switched.json()
        assert await clubs.asked(person, ACTIVE) == [team]
        person = await refreshed(clubs, person)
        assert await claim(clubs, person) == team
    assert await clubs.asked(elsewhere, ACTIVE) == [None]
    assert await claim(clubs, await refreshed(clubs, elsewhere)) is None
    assert await clubs.refused("DELETE", "/active-team", by=person) == (204, None)
    assert await clubs.asked(person, ACTIVE) == [None]
    assert await claim(clubs, await refreshed(clubs, person)) is None
    told = await clubs.people.events(person.id)
    assert told.count("teams.active_team_changed") == 3


@pytest.mark.parametrize("way", ["removed", "sql", "group", "deleted"])
async def test_whoever_left_works_there_no_more(clubs: Clubs, way: str) -> None:
    owner = await clubs.people.sign_up()
    team, group = await clubs.team(owner), ""
    if way == "group":
        person = await clubs.people.sign_up()
        group = (await clubs.made("/groups", name=f"G {team}"))["id"]
        await clubs.made("/role-assignments", role="member", group_id=group, team_id=team)
        await clubs.call("PUT", f"/groups/{group}/members/{person.id}")
    else:
        person = await clubs.joined(team)
    assert (await clubs.call("PUT", "/active-team", {"team_id": team}, by=person)).status_code == 200
    assert await clubs.asked(person, ACTIVE) == [team]
    if way == "removed":
        await clubs.call("DELETE", f"/teams/{team}/members/{person.id}", by=owner)
    elif way == "sql":
        await clubs.people.execute("delete from monohull.role_assignments where user_id = $1", person.id)
    elif way == "group":
        await clubs.call("DELETE", f"/groups/{group}/members/{person.id}")
    else:
        assert (await clubs.call("DELETE", f"/teams/{team}", by=owner)).status_code == 204
    assert await clubs.asked(person, ACTIVE) == [None]
    assert await clubs.refused("GET", "/active-team", by=person) == (404, "not_found")
    assert await claim(clubs, await refreshed(clubs, person)) is None


async def test_another_role_in_the_team_keeps_it_active(clubs: Clubs) -> None:
    team = await clubs.team(await clubs.people.sign_up())
    person = await clubs.joined(team)
    await clubs.call("PUT", "/active-team", {"team_id": team}, by=person)
    await clubs.joined(team, "developer", person)
    assert await clubs.asked(person, ACTIVE) == [team]


async def test_a_session_of_somebody_else_is_no_use(clubs: Clubs) -> None:
    """A session's id is no secret: the claims of another user name it in vain."""
    person, stranger = await clubs.people.sign_up(), await clubs.people.sign_up()
    team = await clubs.team(person)
    await clubs.call("PUT", "/active-team", {"team_id": team}, by=person)
    session = (await clubs.people.claims(person.tokens["access_token"]))["session_id"]
    for named in (session, "nothing", 7, None):
        claims = {"role": "authenticated", "sub": str(stranger.id), "session_id": named}
        async with clubs.served.runtime.database.connection() as connection, connection.transaction():
            await connection.execute(
                "select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)",
                json.dumps(claims),
                "authenticated",
            )
            assert await connection.fetchval(ACTIVE) is None


async def test_a_claim_of_the_applications_own_stays(clubs: Clubs) -> None:
    person = await clubs.people.sign_up()
    team = await clubs.team(person)
    await clubs.people.execute(
        "update auth.users set raw_app_meta_data = raw_app_meta_data || $2::text::jsonb where id = $1",
        person.id,
        '{"active_team": "ours"}',
    )
    await clubs.call("PUT", "/active-team", {"team_id": team}, by=person)
    assert await claim(clubs, await refreshed(clubs, person)) == "ours"


async def test_tokens_without_a_session_here_switch_nothing(clubs: Clubs) -> None:
    person = await clubs.people.sign_up()
    team = await clubs.team(person)
    for extra in ({}, {"session_id": "00000000-0000-4000-8000-000000000000"}, {"client_id": "an-app"}):
        claims = {"role": "authenticated", "aud": "authenticated", "sub": str(person.id), **extra}
        bearer = {"Authorization": f"Bearer {TokenCodec(secret=JWT_SECRET).sign(claims)}"}
        answer = await clubs.refused("PUT", "/active-team", {"team_id": team}, by=bearer)
        assert answer == (403, "own_session_needed"), extra
