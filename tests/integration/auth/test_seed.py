"""``[[seed.users]]``: once, idempotent, and clear about what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from modules.auth.seed import seed_users
from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from tests.integration.auth.people import People

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def seed(people: People, *users: dict[str, Any]) -> int:
    async with people.served.runtime.database.unit_of_work() as work:
        return await seed_users(work, {"users": list(users)})


async def test_seeded_users_can_sign_in(people: People) -> None:
    user_id = uuid4()
    email = f"{user_id.hex}@example.com"
    entry = {
        "id": str(user_id),
        "email": email.upper(),
        "password": "tiny",
        "app_metadata": {"role": "staff"},
        "user_metadata": {"name": "Grace"},
    }
    assert await seed(people, entry) == 1
    person = await people.sign_in(email, "tiny")
    assert person.id == user_id
    user = person.tokens["user"]
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"], "role": "staff"}
    assert user["user_metadata"] == {"name": "Grace", "email_verified": True}
    assert await seed(people, {**entry, "password": "other"}) == 0
    await people.sign_in(email, "tiny")


async def test_without_users_nothing_happens(people: People) -> None:
    async with people.served.runtime.database.unit_of_work() as work:
        assert await seed_users(work, {"copy": []}) == 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"email": "a@b.io"}, r"missing required field `password`"),
        ({"email": "nobody", "password": "x"}, r"number 1 \(nobody\): Unable to validate email"),
        ({"email": "a@b.io", "password": "x", "pasword": "x"}, r"pasword"),
        ({"email": "a@b.io", "password": "x", "id": "7"}, r"UUID"),
        ({"email": "a@b.io", "password": "x", "user_metadata": {"a": "\0"}}, r"U\+0000"),
    ],
)
async def test_entries_that_do_not_fit(people: People, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongSetup, match=message):
        await seed(people, entry)


async def test_an_id_that_is_taken_is_named(people: People) -> None:
    person = await people.sign_up()
    with pytest.raises(WrongSetup, match="number 1"):
        await seed(people, {"id": str(person.id), "email": f"{uuid4().hex}@example.com", "password": "x"})
