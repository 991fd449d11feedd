"""Changes that meet: one waits for the other, and what rests on what is gone goes with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from modules.teams.jobs import purge_invitations
from monohull.kernel import clock
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    import asyncpg

    from tests.integration.auth.people import Person
    from tests.integration.teams.clubs import Clubs

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAUSE = """
create function public.pause() returns trigger language plpgsql as $$
begin
    if current_setting('application_name') = 'pausing' then
        perform pg_advisory_xact_lock(4711);
    end if;
    return old;
end
$$;
create trigger pause before delete on monohull.role_assignments
    for each row execute function public.pause();
"""


async def waiting(connection: asyncpg.Connection, count: int) -> None:
    """Return once so many others wait for locks of this database."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await connection.fetchval(
                "select count(distinct pid) from pg_locks where not granted and pid in "
                "(select pid from pg_stat_activity where datname = current_database())"
            )
            if found >= count:
                return
            await asyncio.sleep(0.01)


async def test_a_user_who_is_deleted_while_leaving_a_team(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    member = await clubs.joined(team)
    active = await clubs.call("PUT", "/active-team", {"team_id": team}, by=member)
    assert active.status_code == 200, active.text
    await clubs.people.execute(PAUSE)
    database = clubs.served.runtime.database
    async with database.connection() as holder, database.connection() as deleting:
        await deleting.execute("set application_name = 'pausing'")
        await holder.execute("select pg_advisory_lock(4711)")
        # its sessions are deleted already, and its seat in the team is not
        end = asyncio.create_task(deleting.execute("delete from auth.users where id = $1", member.id))
        await waiting(holder, 1)
        seat = f"/teams/{team}/members/{member.id}"
        leave = asyncio.create_task(clubs.refused("DELETE", seat, by=owner))
        await waiting(holder, 2)
        await holder.execute("select pg_advisory_unlock(4711)")
        assert await end == "DELETE 1"
        assert await leave == (404, "not_found")
    await clubs.people.execute("drop function public.pause() cascade")


async def test_what_deadlocks_all_the_same_may_be_repeated(clubs: Clubs) -> None:
    owner, member = await clubs.people.sign_up(), await clubs.people.sign_up()
    team = await clubs.team(owner)
    await clubs.joined(team, "member", member)
    database = clubs.served.runtime.database
    async with database.connection() as other, other.transaction():
        await other.execute("set local deadlock_timeout = '1min'")  # so that the request is the one undone
        await other.execute("select from monohull.teams where id = $1::text::uuid for update", team)
        change = asyncio.create_task(
            clubs.call("PUT", f"/teams/{team}/members/{member.id}", {"role": "viewer"}, by=owner)
        )
        async with database.connection() as watching:
            await waiting(watching, 1)
        await other.execute("select from auth.users where id = $1 for update", member.id)
        answer = await change
    assert (answer.status_code, answer.json()["code"]) == (503, "changes_collided")
    assert answer.headers["retry-after"] == "1"
    again = await clubs.call("PUT", f"/teams/{team}/members/{member.id}", {"role": "viewer"}, by=owner)
    assert again.status_code == 204


async def test_a_user_creates_no_more_teams_at_once_than_one_by_one(clubs: Clubs) -> None:
    person = await clubs.people.sign_up()
    await clubs.people.execute(
        "with made as (insert into monohull.teams (name, slug) select 'T', $1 || n "
        "from generate_series(1, 48) as n returning id) "
        "insert into monohull.role_assignments (role_id, user_id, team_id) "
        "select r.id, $2, made.id from made, monohull.roles as r where r.name = 'owner'",
        f"t-{uuid4().hex[:20]}-",
        person.id,
    )
    answers = await asyncio.gather(
        *(
            clubs.refused("POST", "/teams", {"name": "T", "slug": f"t-{uuid4().hex}"}, by=person)
            for _ in range(5)
        )
    )
    assert sorted(answers, key=str) == [(201, None)] * 2 + [(409, "too_many_teams")] * 3


async def invite(clubs: Clubs, team: str, by: Person) -> str:
    """Have ``by`` ask somebody into a team; return the id of the invitation."""
    rows = await clubs.people.rows(
        "insert into monohull.team_invitations (team_id, email, role_id, token_hash, invited_by, expires_at) "
        "select $1::text::uuid, $2, id, $2, $3, now() + interval '1 day' from monohull.roles "
        "where name = 'member' returning id",
        team,
        f"{uuid4().hex}@example.com",
        by.id,
    )
    return str(rows[0]["id"])


async def open_ones(clubs: Clubs, team: str) -> set[str]:
    rows = await clubs.people.rows(
        "select id from monohull.team_invitations where team_id = $1::text::uuid", team
    )
    return {str(row["id"]) for row in rows}


async def test_invitations_end_with_whoever_sent_them(clubs: Clubs) -> None:
    owner, chief = await clubs.people.sign_up(), await clubs.people.sign_up()
    team = await clubs.team(owner)
    kept = await invite(clubs, team, owner)

    async def outlives(sender: Person, method: str, path: str) -> bool:
        sent = await invite(clubs, team, sender)
        assert await clubs.refused(method, path) == (204, None), path
        return sent in await open_ones(clubs, team)

    admin = await clubs.joined(team, "admin")
    (given,) = (await clubs.call("GET", f"/role-assignments?team_id={team}&user_id={admin.id}")).json()
    assert not await outlives(admin, "DELETE", f"/role-assignments/{given['id']}")

    group = (await clubs.made("/groups", name=f"G {uuid4()}"))["id"]
    whole = await clubs.made("/role-assignments", role="admin", group_id=group, team_id=team)
    member = f"/groups/{group}/members/{admin.id}"
    for path in (member, f"/role-assignments/{whole['id']}"):
        assert await clubs.refused("PUT", member) == (204, None)
        assert not await outlives(admin, "DELETE", path), path
    await clubs.made("/role-assignments", role="admin", group_id=group, team_id=team)
    assert not await outlives(admin, "DELETE", f"/groups/{group}")

    await clubs.made("/roles", name="host", permissions=["teams.members:write"])
    host = await clubs.joined(team, "host")
    assert not await outlives(host, "DELETE", "/roles/host")

    for sql in (
        "update auth.users set deleted_at = now() where id = $1",
        "delete from auth.users where id = $1",
    ):
        sent = await invite(clubs, team, chief)
        await clubs.people.execute(sql, chief.id)
        assert sent not in await open_ones(clubs, team), sql
    assert await open_ones(clubs, team) == {kept}


async def test_invitations_that_are_long_over_are_forgotten(clubs: Clubs) -> None:
    owner = await clubs.people.sign_up()
    team = await clubs.team(owner)
    sent = {days: await invite(clubs, team, owner) for days in (31, 29, -1)}
    for days, id_ in sent.items():
        await clubs.people.execute(
            "update monohull.team_invitations set expires_at = $2 where id = $1::text::uuid",
            id_,
            clock.now() - timedelta(days=days),
        )
    await purge_invitations.function(clubs.served.runtime)
    assert await open_ones(clubs, team) == {sent[29], sent[-1]}
