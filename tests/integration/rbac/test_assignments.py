"""Who has which role: given, taken, at once, by those who may, and never without an owner."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from modules.rbac import watch
from monohull.kernel.broker import Broker
from monohull.kernel.home import Connections
from monohull.kernel.principal import Principal, PrincipalKind
from monohull.kernel.settings import Secret
from tests.application import running_app
from tests.integration.rbac.conftest import RELAXED
from tests.integration.rbac.staff import SERVICE, Staff
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from tests.integration.auth.people import Person

STATUS = "/status"


async def code(staff: Staff, person: Person) -> int:
    return (await staff.call("GET", STATUS, by=person)).status_code


async def until(staff: Staff, person: Person, status: int) -> None:
    """Wait until a guarded route answers with ``status``."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await code(staff, person) != status:  # noqa: ASYNC110 the application has no event for it
            await asyncio.sleep(0.005)


class Looks:
    """Counts how often the watches of all applications look at the version.

    They do so each second, and what is to be seen by then is seen with one look, however long a busy machine
    takes for it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun: Counter[int] = Counter()
        self._ended: Counter[int] = Counter()
        original = watch.AccessWatch.look

        async def look(one: watch.AccessWatch) -> None:
            self._begun[id(one)] += 1
            await original(one)
            self._ended[id(one)] = self._begun[id(one)]

        monkeypatch.setattr(watch.AccessWatch, "look", look)

    async def next(self, watches: int) -> None:
        """Wait until all have begun a look after now, and are done with it."""
        before = self._begun.copy()
        await eventually(
            lambda: sum(ended > before[one] for one, ended in self._ended.items()) == watches,
            said=lambda: (before, self._ended),
        )


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    assert watch.POLL_SECONDS < 1
    return Looks(monkeypatch)


async def test_a_role_counts_with_the_next_request_and_without_a_new_token(staff: Staff) -> None:
    person = await staff.people.sign_up()
    for _ in range(3):
        assert await code(staff, person) == 403
        assignment = await staff.give("viewer", person)
        assert await code(staff, person) == 200
        assert await code(staff, person) == 200
        assert (await staff.call("DELETE", f"/role-assignments/{assignment}")).status_code == 204
    assert await code(staff, person) == 403
    assert await staff.events() == ["rbac.role_assigned", "rbac.role_taken"] * 3


async def test_whoami_shows_roles(staff: Staff) -> None:
    person = await staff.hired("viewer", "auditor")
    shown = (await staff.call("GET", "/whoami", by=person)).json()
    assert shown["roles"] == ["auditor", "viewer"]
    assert "audit.entries:read" in shown["permissions"]


async def test_a_changed_role_counts_for_whoever_has_it(staff: Staff) -> None:
    await staff.made("/roles", name="watcher")
    person = await staff.hired("watcher")
    assert await code(staff, person) == 403
    await staff.call("PATCH", "/roles/watcher", {"permissions": ["platform.status:read"]})
    assert await code(staff, person) == 200
    await staff.call("DELETE", "/roles/watcher")
    assert await code(staff, person) == 403


async def test_two_processes(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is told, before it looks."""
    monkeypatch.setattr(watch, "POLL_SECONDS", 2 * PATIENCE_SECONDS)
    async with running_app(connections, **RELAXED) as one, running_app(connections, **RELAXED) as two:
        here, there = Staff(one), Staff(two)
        await eventually(lambda: one.runtime.broker.publish(watch.CHANNEL, b""), lambda told: told == 2)
        person, bystander = await here.hired(), await here.hired("viewer")
        assert [await code(there, person), await code(there, bystander)] == [403, 200]
        for _ in range(5):
            assignment = await here.give("viewer", person)
            assert await code(here, person) == 200
            await until(there, person, 200)
            await here.call("DELETE", f"/role-assignments/{assignment}")
            assert await code(here, person) == 403
            await until(there, person, 403)
            assert await code(there, bystander) == 200


async def test_a_lost_broadcast_is_made_up_for_within_a_second(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, looks: Looks
) -> None:
    async def lose(*_: Any) -> int:
        return 0

    monkeypatch.setattr(Broker, "publish", lose)
    async with running_app(connections, **RELAXED) as one, running_app(connections, **RELAXED) as two:
        here, there = Staff(one), Staff(two)
        person = await here.hired("viewer")
        await until(there, person, 200)
        (assignment,) = (await here.call("GET", f"/role-assignments?user_id={person.id}")).json()
        await here.call("DELETE", f"/role-assignments/{assignment['id']}")
        await looks.next(2)
        assert await code(there, person) == 403


async def test_without_redis(connections: Connections) -> None:
    async with running_app(connections, **RELAXED) as served:
        person = await Staff(served).hired()
    lost = Connections(connections.owner_url, connections.data_url, Secret("redis://127.0.0.1:1/0"))
    async with running_app(lost) as served:
        staff = Staff(served)
        assert await code(staff, person) == 403
        await staff.give("viewer", person)
        assert await code(staff, person) == 200


@pytest.mark.parametrize(
    "sql",
    [
        "delete from monohull.role_assignments where user_id = $1",
        "delete from monohull.roles where name = 'watcher' and $1::uuid is not null",
        "update monohull.roles set permissions = '{}' where name = 'watcher' and $1::uuid is not null",
    ],
    ids=["assignment", "role", "permissions"],
)
async def test_changes_by_sql_count_within_a_second(looks: Looks, staff: Staff, sql: str) -> None:
    await staff.made("/roles", name="watcher", permissions=["platform.status:read"])
    person = await staff.hired("watcher")
    assert await code(staff, person) == 200
    await looks.next(1)  # the version of now has been seen
    await staff.people.execute(sql, person.id)
    await looks.next(1)
    assert await code(staff, person) == 403


async def test_team_roles_do_not_open_the_instance(staff: Staff) -> None:
    team = uuid4()
    await staff.people.execute("insert into monohull.teams (id, name, slug) values ($1, 'One', 'one')", team)
    person = await staff.people.sign_up()
    await staff.give("owner", person, team_id=str(team))
    assert await code(staff, person) == 403
    listed = (await staff.call("GET", f"/role-assignments?team_id={team}")).json()
    assert [(entry["role"], entry["user_id"]) for entry in listed] == [("owner", str(person.id))]


async def test_a_key_has_roles_too(staff: Staff) -> None:
    made = await staff.made("/api-keys", name="robot", permissions=["api_keys.keys:read"])
    key = {"apikey": made["key"]}
    assert (await staff.call("GET", STATUS, by=key)).status_code == 403
    await staff.made("/role-assignments", role="viewer", key_id=made["id"])
    assert (await staff.call("GET", STATUS, by=key)).status_code == 200
    assert (await staff.call("GET", "/api-keys", by=key)).status_code == 200


async def test_a_role_is_had_once_in_each_place(staff: Staff) -> None:
    person = await staff.hired("viewer")
    body = {"role": "viewer", "user_id": str(person.id)}
    again = await staff.call("POST", "/role-assignments", body)
    assert (again.status_code, again.json()["code"]) == (409, "already_assigned")
    answers = await asyncio.gather(
        *(staff.call("POST", "/role-assignments", body | {"role": "auditor"}) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_assignments_that_are_refused(staff: Staff) -> None:
    cases: list[tuple[dict[str, str], int]] = [
        ({"role": "viewer"}, 400),
        ({"role": "viewer", "user_id": "me"}, 400),
        ({"role": "viewer", "user_id": str(uuid4()), "key_id": str(uuid4())}, 400),
        ({"role": "viewer", "user_id": str(uuid4())}, 404),
        ({"role": "viewer", "key_id": str(uuid4())}, 404),
        ({"role": "viewer", "group_id": str(uuid4())}, 404),
        ({"role": "\0", "user_id": str(uuid4())}, 400),
    ]
    for body, status in cases:
        answer = await staff.call("POST", "/role-assignments", body)
        assert answer.status_code == status, (body, answer.text)


async def test_nobody_gives_changes_or_takes_what_they_do_not_hold(staff: Staff) -> None:
    owner, admin = await staff.hired("owner"), await staff.hired("admin")
    other = await staff.people.sign_up()
    group = await staff.made("/groups", name="Owners")
    await staff.made("/role-assignments", role="owner", group_id=group["id"])
    (office,) = (await staff.call("GET", f"/role-assignments?user_id={owner.id}")).json()
    member = f"/groups/{group['id']}/members/{admin.id}"
    for method, path, body in (
        ("POST", "/role-assignments", {"role": "owner", "user_id": str(admin.id)}),
        ("POST", "/roles", {"name": "more", "permissions": ["*"]}),
        ("DELETE", f"/role-assignments/{office['id']}", None),
        ("PUT", member, None),
        ("DELETE", f"/groups/{group['id']}", None),
    ):
        answer = await staff.call(method, path, body, by=admin)
        assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own_roles"), (path, answer.text)
    given = {"role": "developer", "user_id": str(other.id)}
    assert (await staff.call("POST", "/role-assignments", given, by=admin)).status_code == 201
    assert (await staff.call("PUT", member, by=owner)).status_code == 204


async def test_an_application_does_not_hold_the_office_of_its_user(staff: Staff) -> None:
    owner = await staff.hired("owner")
    claims = dict(await staff.people.claims(owner.tokens["access_token"]))
    runtime = staff.served.runtime
    lent = Principal(
        kind=PrincipalKind.USER,
        role="authenticated",
        subject=str(owner.id),
        claims=claims | {"client_id": str(uuid4())},
    )
    assert (await runtime.grants.complete(lent)).permissions == frozenset()


async def test_the_last_owner_stays(staff: Staff) -> None:
    one, two = await staff.hired("owner"), await staff.hired("owner")
    offices = {
        entry["user_id"]: entry["id"]
        for entry in (await staff.call("GET", "/role-assignments?role=owner")).json()
    }
    assert (await staff.call("DELETE", f"/role-assignments/{offices[str(one.id)]}")).status_code == 204
    refused = await staff.call("DELETE", f"/role-assignments/{offices[str(two.id)]}")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
    assert await staff.owners() == [two.id]
    for body in (None, {"should_soft_delete": True}):
        gone = await staff.served.client.request(
            "DELETE", f"/auth/v1/admin/users/{two.id}", json=body, headers=SERVICE
        )
        assert gone.status_code == 409, gone.text
    assert await code(staff, two) == 200
    group = await staff.made("/groups", name="Owners")
    await staff.made("/role-assignments", role="owner", group_id=group["id"])
    empty = await staff.call("DELETE", f"/role-assignments/{offices[str(two.id)]}")
    assert empty.json()["code"] == "last_owner"
    assert (await staff.call("PUT", f"/groups/{group['id']}/members/{one.id}")).status_code == 204
    assert (await staff.call("DELETE", f"/role-assignments/{offices[str(two.id)]}")).status_code == 204
    for path in (f"/groups/{group['id']}/members/{one.id}", f"/groups/{group['id']}"):
        refused = await staff.call("DELETE", path)
        assert (refused.status_code, refused.json()["code"]) == (409, "last_owner"), path
    assert await code(staff, one) == 200


async def test_owners_who_leave_at_the_same_time_leave_one(staff: Staff) -> None:
    for _ in range(5):
        for _ in range(4):
            await staff.hired("owner")
        offices = (await staff.call("GET", "/role-assignments?role=owner")).json()
        answers = await asyncio.gather(
            *(staff.call("DELETE", f"/role-assignments/{office['id']}") for office in offices)
        )
        assert sorted(answer.status_code for answer in answers) == [204] * (len(offices) - 1) + [409]
        assert len(await staff.owners()) == 1
