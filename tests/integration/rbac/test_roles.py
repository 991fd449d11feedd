"""Roles, permissions and groups over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.application import anon_key
from tests.integration.rbac.staff import PATH, SERVICE

if TYPE_CHECKING:
    from tests.integration.rbac.staff import Staff

BUILTIN = ["admin", "auditor", "developer", "member", "owner", "viewer"]


async def test_roles_are_built_in(staff: Staff) -> None:
    answer = await staff.call("GET", "/roles")
    assert [role["name"] for role in answer.json()] == BUILTIN
    assert answer.headers["content-range"] == "items 0-5/6"
    assert all(role["is_builtin"] for role in answer.json())
    owner = (await staff.call("GET", "/roles/owner")).json()
    assert owner["permissions"] == ["*"]
    assert (await staff.call("GET", f"/roles/{owner['id']}")).json() == owner


async def test_admins_hold_every_permission_that_modules_register(staff: Staff) -> None:
    admin = await staff.hired("admin")
    for permission in (await staff.call("GET", "/permissions")).json():
        found = await staff.call("GET", f"/roles?permission={permission['name']}", by=admin)
        assert "admin" in [role["name"] for role in found.json()], permission


async def test_a_role_from_beginning_to_end(staff: Staff) -> None:
    made = await staff.made(
        "/roles",
        name="support",
        summary="Helps people",
        permissions=["auth.users:manage", "data.orders:read"],
    )
    assert (made["permissions"], made["is_builtin"]) == (["auth.users:manage", "data.orders:read"], False)
    changed = await staff.call(
        "PATCH", "/roles/support", {"name": "desk", "permissions": ["data.orders:read", "data.orders:update"]}
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["summary"]) == ("desk", "Helps people")
    assert (await staff.call("GET", "/roles/support")).status_code == 404
    assert (await staff.call("DELETE", "/roles/desk")).status_code == 204
    assert (await staff.call("DELETE", "/roles/desk")).status_code == 404
    payloads = await staff.people.rows(
        "select name, payload::text from monohull.outbox where name like 'rbac.%' order by position"
    )
    assert [row["name"] for row in payloads] == [
        "rbac.role_created",
        "rbac.role_updated",
        "rbac.role_deleted",
    ]
    assert (
        '"previous_name":"support","added":["data.orders:update"],"removed":["auth.users:manage"]'
        in (payloads[1]["payload"])
    )


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"name": "Support"}, 400, "invalid_request"),
    ({"name": ""}, 400, "invalid_request"),
    ({"name": "a\0"}, 400, "invalid_request"),
    ({"name": "support\n"}, 400, "invalid_request"),
    ({"name": "x" * 64}, 400, "invalid_request"),
    ({"name": "x", "permissions": ["no.such:thing"]}, 400, "unknown_role_permission"),
    ({"name": "x", "permissions": ["data.a\0b:read"]}, 400, "invalid_request"),
    ({"name": "x", "permissions": "all"}, 400, "invalid_request"),
    ({"name": "x", "is_builtin": True}, 400, "invalid_request"),
    ({"name": "owner"}, 409, "name_taken"),
]


async def test_roles_that_are_refused(staff: Staff) -> None:
    for body, status, code in REFUSED:
        answer = await staff.call("POST", "/roles", body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (body, answer.text)
    assert await staff.events() == []


async def test_a_line_break_behind_a_name_is_refused_everywhere(staff: Staff) -> None:
    for path, body in (
        ("/groups", {"name": "Night shift\n"}),
        ("/permissions", {"name": "orders.update\n", "summary": "x"}),
        ("/api-keys", {"name": "robot\n", "permissions": []}),
    ):
        answer = await staff.call("POST", path, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), (path, answer.text)


async def test_half_a_surrogate_pair_is_no_text(staff: Staff) -> None:
    headers = {**SERVICE, "Content-Type": "application/json"}
    for path in ("/roles", "/groups"):
        body = b'{"name": "x", "summary": "\\ud800"}'
        answer = await staff.served.client.post(PATH + path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_a_name_that_is_taken_cannot_be_changed_to(staff: Staff) -> None:
    await staff.made("/roles", name="support")
    answer = await staff.call("PATCH", "/roles/support", {"name": "viewer"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


async def test_what_is_built_in_stays(staff: Staff) -> None:
    for role in BUILTIN:
        changed = await staff.call("PATCH", f"/roles/{role}", {"permissions": []})
        gone = await staff.call("DELETE", f"/roles/{role}")
        assert [(answer.status_code, answer.json()["code"]) for answer in (changed, gone)] == [
            (409, "builtin_role")
        ] * 2


async def test_roles_are_searched_by_word_and_by_permission(staff: Staff) -> None:
    await staff.made("/roles", name="support", summary="Helps 100% of people", permissions=["data.*"])
    await staff.made("/roles", name="sales", permissions=["data.orders:*"])

    async def names(query: str) -> list[str]:
        answer = await staff.call("GET", f"/roles?{query}")
        assert answer.status_code == 200, answer.text
        return [role["name"] for role in answer.json()]

    assert await names("q=HELPS") == ["support"]
    assert await names("q=100%25 of") == ["support"]
    assert await names("q=1_0") == []
    assert await names("permission=data.orders:update") == ["admin", "developer", "owner", "sales", "support"]
    assert await names("permission=data.parts:update") == ["admin", "developer", "owner", "support"]
    assert await names("limit=2&offset=1") == ["auditor", "developer"]
    assert (await staff.call("GET", "/roles?q=%00")).status_code == 400
    assert (await staff.call("GET", "/roles?limit=0")).status_code == 400
    assert (await staff.call("GET", "/roles?offset=1000")).status_code == 416


async def test_the_application_declares_permissions(staff: Staff) -> None:
    refused = await staff.call("POST", "/roles", {"name": "manager", "permissions": ["orders.update"]})
    assert refused.json()["code"] == "unknown_role_permission"
    await staff.made("/permissions", name="orders.update", summary="Change orders")
    shown = {entry["name"]: entry["origin"] for entry in (await staff.call("GET", "/permissions")).json()}
    assert (shown["orders.update"], shown["rbac.roles:read"]) == ("application", "module")
    await staff.made("/roles", name="manager", permissions=["orders.update"])
    again = await staff.call("POST", "/permissions", {"name": "orders.update", "summary": "x"})
    taken = await staff.call("POST", "/permissions", {"name": "rbac.roles:read", "summary": "x"})
    assert [again.json()["code"], taken.json()["code"]] == ["name_taken", "name_taken"]
    used = await staff.call("DELETE", "/permissions/orders.update")
    assert (used.status_code, used.json()["code"]) == (409, "permission_in_use")
    await staff.call("DELETE", "/roles/manager")
    assert (await staff.call("DELETE", "/permissions/orders.update")).status_code == 204
    assert (await staff.call("DELETE", "/permissions/orders.update")).status_code == 404
    assert (await staff.call("POST", "/permissions", {"name": "Orders", "summary": "x"})).status_code == 400


async def test_groups_hold_roles_for_their_members(staff: Staff) -> None:
    group = await staff.made("/groups", name="Night shift")
    await staff.made("/role-assignments", role="viewer", group_id=group["id"])
    person = await staff.people.sign_up()
    assert (await staff.call("GET", "/status", by=person)).status_code == 403
    member = f"/groups/{group['id']}/members/{person.id}"
    for _ in range(2):
        assert (await staff.call("PUT", member)).status_code == 204
    assert (await staff.call("GET", "/status", by=person)).status_code == 200
    listed = (await staff.call("GET", f"/groups/{group['id']}/members")).json()
    assert [entry["user_id"] for entry in listed] == [str(person.id)]
    assert (await staff.call("DELETE", member)).status_code == 204
    assert (await staff.call("DELETE", member)).status_code == 404
    assert (await staff.call("GET", "/status", by=person)).status_code == 403
    await staff.call("PUT", member)
    assert (await staff.call("PATCH", f"/groups/{group['id']}", {"name": "Day"})).json()["name"] == "Day"
    assert (await staff.call("DELETE", f"/groups/{group['id']}")).status_code == 204
    assert (await staff.call("GET", "/status", by=person)).status_code == 403
    assert await staff.events() == [
        "rbac.group_created",
        "rbac.role_assigned",
        "rbac.group_member_added",
        "rbac.group_member_removed",
        "rbac.group_member_added",
        "rbac.group_updated",
        "rbac.group_deleted",
    ]


ABSENT = [
    ("GET", "/roles/nobody"),
    ("DELETE", f"/roles/{uuid4()}"),
    ("GET", "/groups/none"),
    ("GET", f"/groups/{uuid4()}/members"),
    ("PUT", f"/groups/{uuid4()}/members/{uuid4()}"),
    ("PUT", f"/groups/{uuid4()}/members/me"),
    ("DELETE", f"/groups/{uuid4()}/members/{uuid4()}"),
    ("DELETE", f"/role-assignments/{uuid4()}"),
    ("DELETE", "/role-assignments/first"),
    ("GET", "/role-assignments?role=none"),
    ("DELETE", "/permissions/none"),
    ("GET", "/roles/%00"),
    ("GET", "/groups/%00"),
    ("DELETE", "/permissions/%00"),
]


async def test_what_is_not_there(staff: Staff) -> None:
    for method, path in ABSENT:
        answer = await staff.call(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path)


GUARDED = [
    ("GET", "/roles"),
    ("POST", "/roles"),
    ("GET", "/roles/owner"),
    ("PATCH", "/roles/owner"),
    ("DELETE", "/roles/owner"),
    ("GET", "/permissions"),
    ("POST", "/permissions"),
    ("DELETE", "/permissions/x"),
    ("GET", "/groups"),
    ("POST", "/groups"),
    ("GET", "/groups/x"),
    ("PATCH", "/groups/x"),
    ("DELETE", "/groups/x"),
    ("GET", "/groups/x/members"),
    ("PUT", "/groups/x/members/y"),
    ("DELETE", "/groups/x/members/y"),
    ("GET", "/role-assignments"),
    ("POST", "/role-assignments"),
    ("DELETE", "/role-assignments/x"),
]


async def test_every_route_is_guarded(staff: Staff) -> None:
    person = await staff.hired("member")
    for method, path in GUARDED:
        for headers, status in (({}, 401), ({"apikey": anon_key()}, 403), (person.bearer, 403)):
            answer = await staff.call(method, path, {}, by=headers)
            assert answer.status_code == status, (method, path, headers, answer.text)


async def test_roles_that_sql_made_are_found_like_others(staff: Staff) -> None:
    async def found(permission: str) -> bool:
        answer = await staff.call("GET", f"/roles?permission={permission}&q=by-sql")
        return bool(answer.json())

    await staff.people.execute(
        "insert into monohull.roles (name, permissions)"
        " values ('by-sql', array['storage.objects:read', null, 'storage.objects:read', 'data.orders:*'])"
    )
    assert await found("storage.objects:read")
    assert await found("data.orders:update")
    await staff.people.execute(
        "update monohull.roles set permissions = array['data.orders:read'] where name = 'by-sql'"
    )
    assert not await found("storage.objects:read")
    assert not await found("data.orders:update")
    assert await found("data.orders:read")
    await staff.people.execute("delete from monohull.roles where name = 'by-sql'")
    (left,) = await staff.people.rows(
        "select count(*) as permissions from monohull.role_permissions"
        " where role_id not in (select id from monohull.roles)"
    )
    assert left["permissions"] == 0
