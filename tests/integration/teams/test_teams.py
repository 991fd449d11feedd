"""Teams over the wire: made, joined, left, given away, and not there for whoever is not in them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from tests.application import anon_key, service_key

if TYPE_CHECKING:
    from tests.integration.auth.people import Person
    from tests.integration.teams.clubs import Clubs

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_team_from_beginning_to_end(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    member = await clubs.joined(team)
    (mine,) = (await clubs.call("GET", "/teams", by=member)).json()
    assert (mine["id"], mine["roles"]) == (team, ["member"])
    assert await clubs.roles_in(team, member) == {str(owner.id): ["owner"], str(member.id): ["member"]}
    changed = await clubs.call("PATCH", f"/teams/{team}", {"name": "Uno"}, by=owner)
    assert (changed.status_code, changed.json()["name"]) == (200, "Uno")
    same = await clubs.call("PATCH", f"/teams/{team}", {"name": "Uno"}, by=owner)
    assert same.json() == changed.json()
    assert await clubs.refused("DELETE", f"/teams/{team}/members/{member.id}", by=member) == (204, None)
    assert (await clubs.call("GET", "/teams", by=member)).json() == []
    assert await clubs.refused("DELETE", f"/teams/{team}", by=owner) == (204, None)
    assert await clubs.refused("GET", f"/teams/{team}", by=owner) == (404, "not_found")
    assert await clubs.told(team) == [
        "teams.team_created",
        "rbac.role_assigned",
        "teams.member_joined",
        "rbac.role_assigned",
        "teams.member_joined",
        "teams.team_updated",
        "rbac.role_taken",
        "teams.member_left",
        "teams.team_deleted",
    ]


async def test_a_team_one_is_not_in_looks_like_none(clubs: Clubs) -> None:
    owner, stranger = await clubs.people.sign_up(), await clubs.people.sign_up()
    team = await clubs.team(owner)
    await clubs.team(stranger)
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "Mine"}),
        ("DELETE", "", None),
        ("GET", "/members", None),
        ("PUT", f"/members/{stranger.id}", {"role": "owner"}),
        ("DELETE", f"/members/{owner.id}", None),
        ("DELETE", f"/members/{stranger.id}", None),
        ("PUT", "/owner", {"user_id": str(stranger.id)}),
        ("GET", "/invitations", None),
        ("POST", "/invitations", {"email": "ada@example.com"}),
        ("POST", f"/invitations/{uuid4()}/resend", {}),
        ("DELETE", f"/invitations/{uuid4()}", None),
    ):
        answers = [
            await clubs.call(method, f"/teams/{which}{path}", body, by=stranger)
            for which in (team, uuid4(), "nothing")
        ]
        assert [answer.status_code for answer in answers] == [404] * 3, (method, path, answers[0].text)
        assert len({answer.json()["detail"] for answer in answers}) == 1, (method, path)
    active = await clubs.call("PUT", "/active-team", {"team_id": team}, by=stranger)
    assert active.status_code == 404
    assert await clubs.roles_in(team, owner) == {str(owner.id): ["owner"]}


async def test_members_do_what_their_role_holds(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    member, admin, other = (
        await clubs.joined(team),
        await clubs.joined(team, "admin"),
        await clubs.joined(team),
    )
    outsider = await clubs.people.sign_up()

    async def set_role(by: Person, who: Person, role: str) -> tuple[int, str | None]:
        return await clubs.refused("PUT", f"/teams/{team}/members/{who.id}", {"role": role}, by=by)

    assert await set_role(member, other, "developer") == (403, "forbidden")
    assert await set_role(admin, other, "owner") == (403, "beyond_own_roles")
    assert await set_role(admin, owner, "member") == (403, "beyond_own_roles")
    assert await set_role(admin, other, "nothing") == (404, "not_found")
    assert await set_role(admin, other, "developer") == (204, None)
    assert await set_role(admin, other, "viewer") == (204, None)
    assert (await clubs.roles_in(team, admin))[str(other.id)] == ["viewer"]
    assert await set_role(owner, outsider, "member") == (404, "not_found"), "nobody is put in unasked"
    for by, status in ((member, 403), (admin, 200)):
        assert (await clubs.call("PATCH", f"/teams/{team}", {"name": "X"}, by=by)).status_code == status
        assert await clubs.refused("DELETE", f"/teams/{team}", by=by) == (403, "beyond_own_roles")
        shown = (await clubs.call("GET", f"/teams/{team}/members", by=by)).json()
        addresses = {entry["email"] for entry in shown}
        assert addresses == ({None} if by is member else {p.email for p in (owner, member, admin, other)})
    assert await clubs.refused("DELETE", f"/teams/{team}/members/{admin.id}", by=member) == (403, "forbidden")
    assert await clubs.refused("DELETE", f"/teams/{team}/members/{member.id}", by=admin) == (204, None)
    assert await clubs.refused("GET", "/status", by=admin) == (403, "forbidden"), "a role in a team is there"
    assert await clubs.refused("GET", "/role-assignments", by=owner) == (403, "forbidden")


async def test_the_last_owner_of_a_team_stays(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    seat = f"/teams/{team}/members/{owner.id}"
    assert await clubs.refused("DELETE", seat, by=owner) == (409, "last_team_owner")
    assert await clubs.refused("PUT", seat, {"role": "member"}, by=owner) == (409, "last_team_owner")
    assert await clubs.refused("PUT", seat, {"role": "member"}) == (409, "last_team_owner")
    owners = [owner, *[await clubs.joined(team, "owner") for _ in range(3)]]
    answers = await asyncio.gather(
        *(clubs.call("DELETE", f"/teams/{team}/members/{each.id}", by=each) for each in owners)
    )
    assert sorted(answer.status_code for answer in answers) == [204, 204, 204, 409]
    assert list((await clubs.roles_in(team)).values()) == [["owner"]]


async def test_no_other_way_takes_the_last_owner_either(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    (given,) = (await clubs.call("GET", f"/role-assignments?team_id={team}")).json()
    assert await clubs.refused("DELETE", f"/role-assignments/{given['id']}") == (409, "last_team_owner")
    for body in ({}, {"should_soft_delete": True}):
        answer = await clubs.served.client.request(
            "DELETE",
            f"/auth/v1/admin/users/{owner.id}",
            json=body,
            headers={"Authorization": f"Bearer {service_key()}"},
        )
        assert answer.status_code == 409, answer.text
        assert "last owner of a team" in answer.text
    for sql in (
        "delete from auth.users where id = $1",
        "update auth.users set deleted_at = now() where id = $1",
        "delete from monohull.role_assignments where user_id = $1",
    ):
        with pytest.raises(asyncpg.PostgresError, match="last owner of a team"):
            await clubs.people.execute(sql, owner.id)
    await clubs.joined(team, "owner")
    await clubs.people.execute("delete from auth.users where id = $1", owner.id)
    await clubs.people.execute("delete from monohull.teams where id = $1::text::uuid", team)


async def test_owners_through_a_group_count(clubs: Clubs) -> None:
    owner, other = await clubs.people.sign_up(), await clubs.people.sign_up()
    team = await clubs.team(owner)
    group = (await clubs.made("/groups", name=f"G {uuid4()}"))["id"]
    await clubs.made("/role-assignments", role="owner", group_id=group, team_id=team)
    seat = f"/teams/{team}/members/{owner.id}"
    assert await clubs.refused("DELETE", seat, by=owner) == (409, "last_team_owner"), "the group is empty"
    assert await clubs.refused("PUT", f"/groups/{group}/members/{other.id}") == (204, None)
    assert await clubs.refused("DELETE", seat, by=owner) == (204, None)
    assert await clubs.roles_in(team, other) == {str(other.id): ["owner"]}
    assert (await clubs.call("GET", "/teams", by=other)).json()[0]["roles"] == ["owner"]
    member = f"/groups/{group}/members/{other.id}"
    assert await clubs.refused("DELETE", member) == (409, "last_team_owner")
    assert await clubs.refused("DELETE", f"/groups/{group}") == (409, "last_team_owner")
    assert await clubs.refused("DELETE", f"/teams/{team}", by=other) == (204, None)
    assert await clubs.refused("DELETE", f"/groups/{group}") == (204, None)


async def test_a_team_is_given_away(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    heir, admin = await clubs.joined(team), await clubs.joined(team, "admin")
    stranger = await clubs.people.sign_up()

    async def give(by: Person | None, to: Any) -> tuple[int, str | None]:
        return await clubs.refused("PUT", f"/teams/{team}/owner", {"user_id": str(to)}, by=by)

    assert await give(admin, heir.id) == (403, "beyond_own_roles")
    assert await give(None, heir.id) == (403, "own_session_needed"), "staff gives the role instead"
    for nobody in (stranger.id, owner.id, uuid4()):
        assert await give(owner, nobody) == (404, "not_found")
    assert await give(owner, heir.id) == (204, None)
    assert await give(owner, heir.id) == (403, "beyond_own_roles")
    assert await clubs.roles_in(team, heir) == {
        str(owner.id): ["admin"],
        str(heir.id): ["owner"],
        str(admin.id): ["admin"],
    }
    assert (await clubs.told(team))[-1] == "teams.team_transferred"


async def test_staff_of_the_instance_sees_and_mends_every_team(clubs: Clubs) -> None:
    owner, chief = await clubs.people.sign_up(), await clubs.hired("admin")
    auditor = await clubs.hired("auditor")
    team = await clubs.team(owner)
    assert (await clubs.call("GET", f"/teams/{team}", by=auditor)).json()["roles"] == []
    for by in (None, auditor):
        listed = await clubs.call("GET", "/teams?all_teams=true&limit=200", by=by)
        assert team in [each["id"] for each in listed.json()]
    assert await clubs.refused("GET", "/teams?all_teams=true", by=owner) == (403, "forbidden")
    assert (await clubs.call("GET", "/teams", by=auditor)).json() == []
    patch = f"/teams/{team}", {"name": "X"}
    assert await clubs.refused("PATCH", *patch, by=auditor) == (403, "forbidden")
    assert await clubs.refused("PATCH", *patch, by=chief) == (200, None)
    assert await clubs.refused("PUT", f"/teams/{team}/members/{chief.id}", {"role": "owner"}, by=chief) == (
        403,
        "beyond_own_roles",
    )
    theirs = await clubs.team(chief, owner_id=str(owner.id))
    assert await clubs.roles_in(theirs, owner) == {str(owner.id): ["owner"]}
    other = {"name": "A", "slug": "another", "owner_id": str(chief.id)}
    assert await clubs.refused("POST", "/teams", other, by=owner) == (403, "forbidden")
    assert await clubs.refused("POST", "/teams", {**other, "owner_id": str(uuid4())}) == (404, "not_found")
    assert await clubs.refused("POST", "/teams", {"name": "A", "slug": "another"}) == (
        403,
        "own_session_needed",
    )
    assert await clubs.refused("DELETE", f"/teams/{team}", by=chief) == (204, None)


async def test_keys_do_what_they_hold_and_are_in_no_team(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    scopes = {"name": "reader", "kind": "secret", "permissions": ["teams.teams:read"]}
    made = await clubs.call("POST", "/api-keys", scopes)
    assert made.status_code == 201, made.text
    key = {"apikey": made.json()["key"]}
    assert (await clubs.call("GET", f"/teams/{team}", by=key)).status_code == 200
    assert await clubs.refused("PATCH", f"/teams/{team}", {"name": "X"}, by=key) == (403, "forbidden")
    for method, path in (("GET", "/active-team"), ("GET", "/team-invitations")):
        assert (await clubs.call(method, path, by=key)).status_code in (401, 403)


BODIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "no name": ({"name": "", "slug": "a"}, 400, "invalid_request"),
    "capital": ({"name": "A", "slug": "A"}, 400, "invalid_request"),
    "dash": ({"name": "A", "slug": "-a"}, 400, "invalid_request"),
    "line end": ({"name": "A", "slug": "a\n"}, 400, "invalid_request"),
    "line end of a name": ({"name": "A\n", "slug": "a"}, 400, "invalid_request"),
    "zero": ({"name": "A\0", "slug": "a"}, 400, "invalid_request"),
    "no slug": ({"name": "A"}, 400, "invalid_request"),
    "taken": ({"name": "A", "slug": "taken-slug"}, 409, "slug_taken"),
}


async def test_teams_that_are_refused(clubs: Clubs) -> None:
    person = await clubs.people.sign_up()
    await clubs.team(person, slug="taken-slug")
    for name, (body, status, code) in BODIES.items():
        assert await clubs.refused("POST", "/teams", body, by=person) == (status, code), name
    team = await clubs.team(person)
    patch = {"slug": "taken-slug"}
    assert await clubs.refused("PATCH", f"/teams/{team}", patch, by=person) == (409, "slug_taken")


async def test_nobody_has_no_teams(clubs: Clubs) -> None:
    for method, path, by_anon in (
        ("GET", "/teams", 403),
        ("POST", "/teams", 403),
        ("GET", f"/teams/{uuid4()}", 403),
        ("GET", "/team-invitations", 401),
        ("POST", "/team-invitations/accept", 401),
        ("PUT", "/active-team", 401),
    ):
        for headers, status in (({}, 401), ({"apikey": anon_key()}, by_anon)):
            assert (await clubs.call(method, path, {}, by=headers)).status_code == status, (method, path)


async def test_rows_that_belong_to_a_team_keep_it(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    await clubs.people.execute(
        "create table public.kept (id int, team_id uuid references monohull.teams (id) on delete restrict)"
    )
    await clubs.people.execute("insert into public.kept values (1, $1::text::uuid)", team)
    assert await clubs.refused("DELETE", f"/teams/{team}", by=owner) == (409, "team_in_use")
    await clubs.people.execute("drop table public.kept")
    assert await clubs.refused("DELETE", f"/teams/{team}", by=owner) == (204, None)


async def test_changes_that_meet_the_end_of_a_team(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    for number in range(5):
        team = await clubs.team(owner)
        calls: list[tuple[str, Any]] = [
            ("DELETE", None),
            *([("PATCH", {"name": f"Team {number}"})] * 2),
            ("DELETE", None),
        ]
        answers = await asyncio.gather(
            *(clubs.refused(method, f"/teams/{team}", body, by=owner) for method, body in calls)
        )
        deleted = [answer for (method, _), answer in zip(calls, answers, strict=True) if method == "DELETE"]
        assert sorted(deleted, key=str) == [(204, None), (404, "not_found")]
        assert {answer for answer in answers if answer not in deleted} <= {(200, None), (404, "not_found")}
        assert (await clubs.told(team)).count("teams.team_deleted") == 1
