"""What administrators do with users, and who is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from monohull.kernel.clock import monotonic_seconds
from tests.application import anon_key, service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.post import SITE, arrival, new_email, new_phone
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    import httpx

    from tests.integration.auth.post import Post

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = {"Authorization": f"Bearer {service_key()}"}
NOBODY = "00000000-0000-0000-0000-000000000000"
ROUTES = [
    ("GET", "/admin/users"),
    ("POST", "/admin/users"),
    ("GET", f"/admin/users/{NOBODY}"),
    ("PUT", f"/admin/users/{NOBODY}"),
    ("DELETE", f"/admin/users/{NOBODY}"),
    ("POST", "/admin/generate_link"),
    ("POST", "/invite"),
    ("GET", "/admin/audit"),
]


async def admin(post: Post, method: str, path: str, **body: Any) -> httpx.Response:
    return await post.call(method, path, ADMIN, **body)


async def made(post: Post, **body: Any) -> dict[str, Any]:
    answer = await admin(post, "POST", "/admin/users", **body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_only_administrators(post: Post, method: str, path: str) -> None:
    person = (await post.call("POST", "/signup")).json()
    user = f"Bearer {person['access_token']}"
    for headers, status, code in (
        ({}, 401, "no_authorization"),
        ({"apikey": anon_key()}, 401, "no_authorization"),
        ({"Authorization": f"Bearer {anon_key()}"}, 403, "not_admin"),
        ({"Authorization": user}, 403, "not_admin"),
        ({"Authorization": user, "apikey": service_key()}, 403, "not_admin"),
        ({"Authorization": "Bearer x.y.z"}, 403, "bad_jwt"),
    ):
        answer = await post.call(method, path, headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (headers, answer.text)


async def test_create_read_change_and_delete(post: Post) -> None:
    email = new_email()
    user = await made(
        post,
        email=email.upper(),
        password=PASSWORD,
        email_confirm=True,
        user_metadata={"name": "Ada", "old": 1},
        app_metadata={"plan": "free"},
    )
    assert user["email"] == email
    assert user["email_confirmed_at"]
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"], "plan": "free"}
    session = await post.sign_in(email)
    path = f"/admin/users/{user['id']}"
    assert (await admin(post, "GET", path)).json()["id"] == user["id"]

    new, phone = new_email(), new_phone()
    answer = await admin(
        post,
        "PUT",
        path,
        email=new,
        phone=f"+{phone}",
        password="another-password",
        user_metadata={"old": None, "new": 2},
        app_metadata={"plan": "paid"},
        role="staff",
    )
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert (changed["email"], changed["phone"], changed["role"]) == (new, phone, "staff")
    assert changed["user_metadata"] == {"name": "Ada", "new": 2, "email_verified": True}
    assert changed["app_metadata"]["plan"] == "paid"
    assert changed["app_metadata"]["providers"] == ["email", "phone"]
    assert {identity["provider"] for identity in changed["identities"]} == {"email", "phone"}
    assert (await post.refresh(session.refresh_token)).status_code == 400
    await post.sign_in(new, "another-password")

    assert (await admin(post, "DELETE", path)).json() == {}
    assert (await admin(post, "GET", path)).json()["code"] == "user_not_found"
    assert not await post.rows("select 1 from auth.users where id = $1", user["id"])
    events = await post.events(user["id"])
    assert events[-1] == "auth.user_deleted"
    assert {"auth.user_modified", "auth.password_changed", "auth.email_changed"} <= set(events)


async def test_soft_deletion_leaves_nothing_that_names_anybody(post: Post) -> None:
    email, phone = new_email(), new_phone()
    user = await made(
        post, email=email, phone=phone, password=PASSWORD, email_confirm=True, user_metadata={"a": 1}
    )
    session = await post.sign_in(email)
    path = f"/admin/users/{user['id']}"
    answer = await admin(post, "DELETE", path, should_soft_delete=True)
    assert answer.json() == {}
    (row,) = await post.rows(
        "select u::text as everything, deleted_at from auth.users u where id = $1", user["id"]
    )
    assert row["deleted_at"] is not None
    assert email not in row["everything"]
    assert phone not in row["everything"]
    rest = await post.rows(
        "select i::text as everything from auth.identities i where user_id = $1", user["id"]
    )
    assert all(email not in found["everything"] for found in rest)
    assert (await post.call("GET", "/user", session.bearer)).status_code == 403
    left = (await admin(post, "GET", path)).json()
    assert left["deleted_at"]
    assert (left["user_metadata"], left["app_metadata"]) == ({}, {})
    assert {email, phone}.isdisjoint((left["email"], left["phone"]))
    await made(post, email=email, phone=phone, password=PASSWORD)


async def test_what_soft_deletion_left_is_deleted_for_good(post: Post) -> None:
    user = await made(post, email=new_email(), password=PASSWORD, email_confirm=True)
    path = f"/admin/users/{user['id']}"
    for _ in range(2):
        assert (await admin(post, "DELETE", path, should_soft_delete=True)).json() == {}
    assert (await post.events(user["id"])).count("auth.user_deleted") == 1
    assert (await admin(post, "PUT", path, role="staff")).json()["code"] == "user_not_found"
    assert (await admin(post, "DELETE", path)).json() == {}
    assert not await post.rows("select 1 from auth.users where id = $1", user["id"])
    assert (await admin(post, "GET", path)).json()["code"] == "user_not_found"


async def test_bans(post: Post) -> None:
    email = new_email()
    user = await made(post, email=email, password=PASSWORD, email_confirm=True)
    path = f"/admin/users/{user['id']}"
    assert (await admin(post, "PUT", path, ban_duration="24h")).json()["banned_until"]
    refused = await post.grant("password", email=email, password=PASSWORD)
    assert refused.json()["code"] == "user_banned"
    assert "banned_until" not in (await admin(post, "PUT", path, ban_duration="none")).json()
    await post.sign_in(email)
    assert [name for name in await post.events(user["id"]) if "ban" in name] == [
        "auth.user_banned",
        "auth.user_unbanned",
    ]


async def test_hashes_of_other_systems(post: Post) -> None:
    email = new_email()
    (row,) = await post.rows(
        "select encrypted_password from auth.users where encrypted_password is not null limit 1"
    )
    await made(post, email=email, password_hash=row["encrypted_password"], email_confirm=True)
    assert (await post.grant("password", email=email, password="certainly-not")).status_code == 400


async def test_pages(post: Post) -> None:
    for _ in range(3):
        await made(post, email=new_email())
    answer = await admin(post, "GET", "/admin/users?page=1&per_page=2&sort=email%20asc")
    body = answer.json()
    assert body["aud"] == "authenticated"
    emails = [user["email"] for user in body["users"]]
    assert emails == sorted(emails)
    assert len(emails) == 2
    total = int(answer.headers["x-total-count"])
    last = -(-total // 2)
    assert answer.headers["link"] == (
        f'</admin/users?page=2&per_page=2>; rel="next", </admin/users?page={last}&per_page=2>; rel="last"'
    )
    final = await admin(post, "GET", f"/admin/users?page={last}&per_page=2")
    assert "next" not in final.headers["link"]
    found = await admin(post, "GET", f"/admin/users?filter={emails[0][:20].upper()}")
    assert [user["email"] for user in found.json()["users"]] == [emails[0]]
    assert (await admin(post, "GET", "/admin/users?filter=%25%25%25")).json()["users"] == []


@pytest.mark.parametrize(
    ("route", "body", "refusal"),
    [
        (("GET", "/admin/users?page=0"), None, (400, "validation_failed")),
        (("GET", "/admin/users?page=x"), None, (400, "validation_failed")),
        (("GET", "/admin/users?page=%C2%B2"), None, (400, "validation_failed")),
        (("GET", "/admin/users?per_page=100000"), None, (400, "validation_failed")),
        (("GET", "/admin/users?page=99999999999999999999"), None, (400, "validation_failed")),
        (("GET", "/admin/users?sort=encrypted_password"), None, (400, "validation_failed")),
        (("GET", "/admin/users?sort=email%20sideways"), None, (400, "validation_failed")),
        (("GET", "/admin/users?filter=%00"), None, (400, "validation_failed")),
        (("GET", "/admin/users/7"), None, (404, "validation_failed")),
        (("GET", f"/admin/users/{NOBODY}"), None, (404, "user_not_found")),
        (("PUT", f"/admin/users/{NOBODY}"), {}, (404, "user_not_found")),
        (("DELETE", f"/admin/users/{NOBODY}"), None, (404, "user_not_found")),
        (("DELETE", "/admin/users/x"), None, (404, "validation_failed")),
        (("POST", "/admin/users"), {}, (400, "validation_failed")),
        (("POST", "/admin/users"), {"email": "nobody"}, (400, "validation_failed")),
        (("POST", "/admin/users"), {"phone": "x"}, (400, "validation_failed")),
        (("POST", "/admin/users"), {"email": "a@b.io", "id": "7"}, (400, "validation_failed")),
        (("POST", "/admin/users"), {"email": "a@b.io", "password": "1234"}, (422, "weak_password")),
        (("POST", "/admin/users"), {"email": "a@b.io", "ban_duration": "soon"}, (400, "validation_failed")),
        (("POST", "/admin/users"), {"email": "a@b.io", "ban_duration": "9" * 30}, (400, "validation_failed")),
        (
            ("POST", "/admin/users"),
            {"email": "a@b.io", "user_metadata": {"a": "\0"}},
            (400, "validation_failed"),
        ),
        (("POST", "/admin/users"), {"email": "a@b.io", "role": "\0"}, (400, "validation_failed")),
        (("POST", "/admin/users"), {"email": "a@b.io", "role": "x" * 300}, (422, "unexpected_failure")),
        (("POST", "/admin/users"), {"email": "a@b.io", "password_hash": "md5"}, (400, "validation_failed")),
        (
            ("POST", "/admin/users"),
            {"email": "a@b.io", "password": PASSWORD, "password_hash": "$argon2id$"},
            (400, "validation_failed"),
        ),
        (("POST", "/invite"), {}, (400, "validation_failed")),
        (("POST", "/admin/generate_link"), {}, (400, "validation_failed")),
        (("POST", "/admin/generate_link"), {"type": "signup", "email": "a@b.io"}, (400, "validation_failed")),
        (("POST", "/admin/generate_link"), {"type": "recovery", "email": "no@b.io"}, (404, "user_not_found")),
        (
            ("POST", "/admin/generate_link"),
            {"type": "email_change_new", "email": "no@b.io"},
            (404, "user_not_found"),
        ),
    ],
)
async def test_refusals(post: Post, route: tuple[str, str], body: Any, refusal: tuple[int, str]) -> None:
    answer = await admin(post, *route, **(body or {}))
    assert (answer.status_code, answer.json()["code"]) == refusal, answer.text


async def test_what_is_taken(post: Post) -> None:
    email, phone, user_id = new_email(), new_phone(), str(uuid4())
    await made(post, id=user_id, email=email, phone=phone)
    other = await made(post, email=new_email())
    for method, path, body, code in (
        ("POST", "/admin/users", {"email": email}, "email_exists"),
        ("POST", "/admin/users", {"phone": phone}, "phone_exists"),
        ("POST", "/admin/users", {"id": user_id, "email": new_email()}, "user_already_exists"),
        ("PUT", f"/admin/users/{other['id']}", {"email": email}, "email_exists"),
        ("PUT", f"/admin/users/{other['id']}", {"phone": phone}, "phone_exists"),
    ):
        answer = await admin(post, method, path, **body)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


async def test_invitations(post: Post) -> None:
    email = new_email()
    answer = await admin(post, "POST", "/invite", email=email, data={"team": 7})
    user = answer.json()
    assert user["invited_at"]
    assert user["user_metadata"] == {"team": 7}
    letter = await post.letter(email)
    assert letter["template"] == "invite"
    base, _, fragment = arrival(await post.follow(letter["link"]))
    assert (base, fragment["type"]) == (SITE, "invite")
    assert "auth.invitation_accepted" in await post.events(user["id"])
    again = await admin(post, "POST", "/invite", email=email)
    assert (again.status_code, again.json()["code"]) == (422, "email_exists")


async def link(post: Post, **body: Any) -> dict[str, Any]:
    answer = await admin(post, "POST", "/admin/generate_link", **body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_links_without_a_mail(post: Post) -> None:
    email = new_email()
    made_link = await link(post, type="signup", email=email, password=PASSWORD, data={"a": 1})
    assert made_link["email"] == email
    assert made_link["user_metadata"] == {"a": 1}
    assert made_link["verification_type"] == "signup"
    assert made_link["redirect_to"] == SITE
    assert made_link["hashed_token"] in made_link["action_link"]
    assert "access_token" in arrival(await post.follow(made_link["action_link"]))[2]

    to = "https://a.example.org/reset"
    recovery = await link(post, type="recovery", email=email, redirect_to=to)
    answer = await post.call("POST", "/verify", type="recovery", email=email, token=recovery["email_otp"])
    assert answer.status_code == 200
    assert recovery["redirect_to"] == to

    magic = await link(post, type="magiclink", email=email)
    answer = await post.call("POST", "/verify", type="magiclink", token_hash=magic["hashed_token"])
    assert answer.status_code == 200

    new = new_email()
    first = await link(post, type="email_change_current", email=email, new_email=new)
    second = await link(post, type="email_change_new", email=email, new_email=new)
    assert "type=email_change&" in first["action_link"]
    assert "message" in arrival(await post.follow(first["action_link"]))[2]
    assert "access_token" in arrival(await post.follow(second["action_link"]))[2]
    await post.sign_in(new)

    unknown = await link(post, type="magiclink", email=new_email())
    assert unknown["verification_type"] == "signup"
    taken = await admin(post, "POST", "/admin/generate_link", type="signup", email=new, password=PASSWORD)
    assert taken.json()["code"] == "email_exists"
    notice = await post.letter(email)
    assert notice["template"] == "email_changed_notification"


async def test_everything_is_in_the_audit_log(post: Post) -> None:
    email = new_email()
    user = await made(post, email=email, password=PASSWORD, email_confirm=True)
    await post.sign_in(email)
    await admin(post, "DELETE", f"/admin/users/{user['id']}")
    wanted = ["user_deleted", "login", "user_confirmed", "user_signedup"]
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    while True:
        answer = await admin(post, "GET", f"/admin/audit?per_page=100&query={user['id']}")
        entries = answer.json()
        assert int(answer.headers["x-total-count"]) == len(entries), "both are of one moment"
        if len(entries) == len(wanted) or monotonic_seconds() > deadline:
            break
    assert sorted(entry["payload"]["action"] for entry in entries) == sorted(wanted)
    login = next(entry for entry in entries if entry["payload"]["action"] == "login")
    assert login["payload"]["log_type"] == "account"
    assert login["payload"]["actor_id"] == user["id"]
    assert login["ip_address"] == "127.0.0.1"
    assert answer.headers["x-total-count"] == "4"
    beyond = await admin(post, "GET", f"/admin/audit?per_page=2&page=3&query={user['id']}")
    assert (beyond.json(), beyond.headers["x-total-count"]) == ([], "4")
    by_action = await admin(post, "GET", "/admin/audit?query=action:user_deleted&per_page=1")
    assert by_action.json()[0]["payload"]["action"] == "user_deleted"


async def test_settings_say_what_is_on(post: Post) -> None:
    settings = (await post.call("GET", "/settings")).json()
    on = {name for name, value in settings["external"].items() if value}
    assert on == {"anonymous_users", "email", "phone"}
    assert (settings["mailer_autoconfirm"], settings["sms_provider"]) == (False, "mailbox")
