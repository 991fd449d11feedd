"""Invitations into teams: by mail, for one address, for a while, and telling nobody who is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio

from monohull.kernel.ids import hash_token
from tests.application import service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.post import CONFIRMING, SITE, Post, new_email, running_post
from tests.integration.teams.clubs import Clubs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections
    from tests.integration.auth.people import Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = (404, "invitation_unknown")


class Office(Clubs):
    """Teams, and the mails that go out for them."""

    def __init__(self, post: Post) -> None:
        super().__init__(post.served)
        self.post = post

    async def person(self, email: str | None = None) -> Person:
        """Return somebody whose address is confirmed."""
        email = email or new_email()
        made = await self.post.call(
            "POST",
            "/admin/users",
            headers={"Authorization": f"Bearer {service_key()}"},
            email=email,
            password=PASSWORD,
            email_confirm=True,
        )
        assert made.status_code == 200, made.text
        return await self.post.sign_in(email)

    async def invite(self, team: str, by: Person | None, email: str, **body: Any) -> dict[str, Any]:
        answer = await self.call("POST", f"/teams/{team}/invitations", {"email": email, **body}, by=by)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def token(self, email: str, number: int = 1) -> str:
        """Wait for the ``number``-th mail and return the token in its link."""
        return link_token((await self.post.letter(email, number=number))["link"])

    async def accept(self, by: Person, **which: Any) -> tuple[int, str | None]:
        return await self.refused("POST", "/team-invitations/accept", which, by=by)


def link_token(link: str) -> str:
    return dict(parse_qsl(urlsplit(link).query))["invitation_token"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(shared_connections: Connections) -> AsyncIterator[Office]:
    settings = {**CONFIRMING, "teams_max_invitations": "2", "teams_max_owned": "3"}
    async with running_post(shared_connections, **settings) as post:
        yield Office(post)


async def test_from_the_mail_to_the_team(office: Office) -> None:
    owner, guest = await office.person(), await office.person()
    team = await office.team(owner, name="Rowers <b>")
    sent = await office.invite(team, owner, guest.email.upper(), role="developer")
    assert (sent["email"], sent["role"], sent["invited_by"]) == (guest.email, "developer", str(owner.id))
    assert "token" not in str(sent)
    letter = await office.post.letter(guest.email)
    assert (letter["template"], letter["subject"]) == ("team_invite", "You have been invited to Rowers <b>")
    assert owner.email in letter["text"]
    assert "<b>" not in letter["html"]
    assert letter["link"].startswith(f"{SITE}?invitation_token=")
    (mine,) = (await office.call("GET", "/team-invitations", by=guest)).json()
    assert (mine["id"], mine["team_name"], mine["role"]) == (sent["id"], "Rowers <b>", "developer")
    answer = await office.call(
        "POST", "/team-invitations/accept", {"token": link_token(letter["link"])}, by=guest
    )
    assert (answer.status_code, answer.json()["id"], answer.json()["roles"]) == (200, team, ["developer"])
    assert await office.roles_in(team, guest) == {str(owner.id): ["owner"], str(guest.id): ["developer"]}
    assert (await office.call("GET", f"/teams/{team}/invitations", by=owner)).json() == []
    assert await office.accept(guest, token=link_token(letter["link"])) == UNKNOWN, "once"
    assert await office.told(team) == [
        "teams.team_created",
        "rbac.role_assigned",
        "teams.member_joined",
        "teams.invitation_sent",
        "rbac.role_assigned",
        "teams.member_joined",
    ]


async def test_the_invited_address_alone_accepts(office: Office) -> None:
    owner, thief, guest = await office.person(), await office.person(), await office.person()
    team = await office.team(owner)
    sent = await office.invite(team, owner, guest.email)
    token = await office.token(guest.email)
    never = await office.call("POST", "/team-invitations/accept", {"token": "A" * len(token)}, by=thief)
    for which in ({"token": token}, {"id": sent["id"]}):
        for path in ("accept", "decline"):
            answer = await office.call("POST", f"/team-invitations/{path}", which, by=thief)
            assert answer.status_code == 404
            assert answer.json()["detail"] == never.json()["detail"], "the thief does not learn that it holds"
    assert (await office.call("GET", "/team-invitations", by=thief)).json() == []
    assert await office.accept(guest, id=sent["id"]) == (200, None)
    assert str(thief.id) not in await office.roles_in(team)


async def test_an_address_that_is_not_confirmed_is_nobodys(office: Office) -> None:
    """Whoever signs up with the address of another and holds the token has not shown that it is theirs."""
    owner, guest = await office.person(), await office.person()
    team = await office.team(owner)
    await office.invite(team, owner, guest.email)
    token = await office.token(guest.email)
    await office.people.execute("update auth.users set email_confirmed_at = null where id = $1", guest.id)
    assert await office.accept(guest, token=token) == UNKNOWN
    assert (await office.call("GET", "/team-invitations", by=guest)).json() == []
    await office.people.execute("update auth.users set email_confirmed_at = now() where id = $1", guest.id)
    assert await office.accept(guest, token=token) == (200, None)


async def test_nobody_learns_who_has_an_account(office: Office) -> None:
    owner, known = await office.person(), await office.person()
    team = await office.team(owner)
    answers = [
        await office.call("POST", f"/teams/{team}/invitations", {"email": email}, by=owner)
        for email in (known.email, new_email())
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json().keys() == answers[1].json().keys()
    letters = [await office.post.letter(answer.json()["email"]) for answer in answers]
    assert letters[0]["subject"] == letters[1]["subject"]


async def test_the_token_is_in_the_mail_alone(office: Office) -> None:
    owner, email = await office.person(), new_email()
    team = await office.team(owner)
    await office.invite(team, owner, email)
    token = await office.token(email)
    for table in ("monohull.team_invitations", "monohull.jobs", "monohull.outbox"):
        rows = await office.people.rows(f"select t::text as row from {table} as t")
        assert rows
        assert not [row for row in rows if token in row["row"]], table
    stored = await office.people.rows(
        "select token_hash from monohull.team_invitations where email = $1", email
    )
    assert [row["token_hash"] for row in stored] == [hash_token(token)]


async def test_sent_again_revoked_declined_and_over(office: Office) -> None:
    owner, guest = await office.person(), await office.person()
    team = await office.team(owner)
    path = f"/teams/{team}/invitations"
    sent = await office.invite(team, owner, guest.email)
    first = await office.token(guest.email)
    assert await office.refused("POST", path, {"email": guest.email}, by=owner) == (409, "already_invited")
    again = await office.call("POST", f"{path}/{sent['id']}/resend", {}, by=owner)
    assert (again.status_code, again.json()["id"]) == (200, sent["id"])
    assert again.json()["expires_at"] > sent["expires_at"]
    second = await office.token(guest.email, 2)
    assert await office.accept(guest, token=first) == UNKNOWN, "the earlier link leads nowhere"
    assert await office.refused("DELETE", f"{path}/{sent['id']}", by=owner) == (204, None)
    assert await office.accept(guest, token=second) == UNKNOWN
    for method, end in (("DELETE", ""), ("POST", "/resend")):
        for gone in (sent["id"], uuid4(), "nothing"):
            assert await office.refused(method, f"{path}/{gone}{end}", {}, by=owner) == (404, "not_found")

    await office.invite(team, owner, guest.email)
    third = await office.token(guest.email, 3)
    declined = await office.call("POST", "/team-invitations/decline", {"token": third}, by=guest)
    assert declined.status_code == 204
    assert await office.accept(guest, token=third) == UNKNOWN

    late = await office.invite(team, owner, guest.email)
    fourth = await office.token(guest.email, 4)
    await office.people.execute(
        "update monohull.team_invitations set expires_at = now() where id = $1::text::uuid", late["id"]
    )
    assert await office.accept(guest, token=fourth) == UNKNOWN
    assert await office.accept(guest, id=late["id"]) == UNKNOWN
    assert (await office.call("GET", "/team-invitations", by=guest)).json() == []
    anew = await office.invite(team, owner, guest.email)
    assert anew["id"] != late["id"]
    assert (await office.told(team))[-6:] == [
        "teams.invitation_sent",
        "teams.invitation_revoked",
        "teams.invitation_sent",
        "teams.invitation_declined",
        "teams.invitation_sent",
        "teams.invitation_sent",
    ]


async def test_who_may_invite_and_as_what(office: Office) -> None:
    owner, admin, member = await office.person(), await office.person(), await office.person()
    team = await office.team(owner)
    await office.joined(team, "admin", admin)
    await office.joined(team, "member", member)
    path = f"/teams/{team}/invitations"
    for method, body in (("GET", None), ("POST", {"email": new_email()})):
        assert await office.refused(method, path, body, by=member) == (403, "forbidden")
    for body, status, code in (
        ({"email": new_email(), "role": "owner"}, 403, "beyond_own_roles"),
        ({"email": new_email(), "role": "nothing"}, 404, "not_found"),
        ({"email": "nobody"}, 400, "validation_failed"),
        ({"email": "a\0b@example.com"}, 400, "invalid_request"),
        ({"email": member.email}, 409, "already_member"),
        ({"email": "a@" + "b" * 300}, 400, "invalid_request"),
    ):
        assert await office.refused("POST", path, body, by=admin) == (status, code), body
    for _ in range(2):
        await office.invite(team, None, new_email())
    full = await office.refused("POST", path, {"email": new_email()}, by=owner)
    assert full == (409, "too_many_invitations")


async def test_an_invitation_rests_on_who_sent_it(office: Office) -> None:
    owner, admin, guest = await office.person(), await office.person(), await office.person()
    team = await office.team(owner)
    await office.joined(team, "admin", admin)
    await office.invite(team, admin, guest.email, role="admin")
    token = await office.token(guest.email)
    await office.call("DELETE", f"/teams/{team}/members/{admin.id}", by=owner)
    assert await office.accept(guest, token=token) == UNKNOWN
    assert (await office.told(team))[-3:] == [
        "teams.invitation_revoked",
        "rbac.role_taken",
        "teams.member_left",
    ]


async def test_two_who_accept_at_once_join_once(office: Office) -> None:
    owner, guest = await office.person(), await office.person()
    team = await office.team(owner)
    sent = await office.invite(team, owner, guest.email)
    answers = await asyncio.gather(*(office.accept(guest, id=sent["id"]) for _ in range(4)))
    assert sorted(answers) == [(200, None), UNKNOWN, UNKNOWN, UNKNOWN]
    assert (await office.roles_in(team))[str(guest.id)] == ["member"]


async def test_whoever_is_in_keeps_their_role(office: Office) -> None:
    owner, guest = await office.person(), await office.person()
    team = await office.team(owner)
    sent = await office.invite(team, owner, guest.email, role="viewer")
    await office.joined(team, "admin", guest)
    assert await office.accept(guest, id=sent["id"]) == (200, None)
    assert (await office.roles_in(team))[str(guest.id)] == ["admin"]


async def test_links_lead_where_the_settings_allow(office: Office) -> None:
    owner = await office.person()
    for wanted, begins in (
        ("https://a.example.org/join?x=1", "https://a.example.org/join?x=1&invitation_token="),
        ("https://evil.test/", f"{SITE}?invitation_token="),
        ("javascript:alert(1)", f"{SITE}?invitation_token="),
    ):
        team, email = await office.team(owner), new_email()
        await office.invite(team, owner, email, redirect_to=wanted)
        assert (await office.post.letter(email))["link"].startswith(begins), wanted


async def test_anonymous_users_own_and_join_nothing(office: Office) -> None:
    nobody = await office.post.call("POST", "/signup")
    assert nobody.status_code == 200, nobody.text
    bearer = {"Authorization": f"Bearer {nobody.json()['access_token']}"}
    body = {"name": "A", "slug": f"t-{uuid4().hex}"}
    assert await office.refused("POST", "/teams", body, by=bearer) == (403, "own_session_needed")
    which = {"id": str(uuid4())}
    assert await office.refused("POST", "/team-invitations/accept", which, by=bearer) == UNKNOWN


async def test_a_user_owns_no_more_than_the_settings_say(office: Office) -> None:
    owner = await office.person()
    for _ in range(3):
        await office.team(owner)
    body = {"name": "A", "slug": f"t-{uuid4().hex}"}
    assert await office.refused("POST", "/teams", body, by=owner) == (409, "too_many_teams")
    assert await office.refused("POST", "/teams", {**body, "owner_id": str(owner.id)}) == (201, None)


@pytest.mark.parametrize(
    "body",
    [{}, {"token": "a", "id": str(uuid4())}, {"token": ""}, {"token": "ä"}, {"id": "nothing"}],
    ids=["nothing", "both", "empty", "no token", "no id"],
)
async def test_answers_that_name_no_invitation(office: Office, body: dict[str, str]) -> None:
    person = await office.person()
    for path in ("accept", "decline"):
        answer = await office.refused("POST", f"/team-invitations/{path}", body, by=person)
        assert answer == (400, "invalid_request")
