"""Users as rows: `build` makes one without touching anything, `save` adds it to a unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from argon2 import PasswordHasher
from polyfactory import Use
from polyfactory.factories.msgspec_factory import MsgspecFactory

from modules.auth.dtos import SignupBody
from modules.auth.models import Identity, User
from monohull.kernel.clock import now
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

PASSWORD = "correct-horse"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class SignupFactory(MsgspecFactory[SignupBody]):
    """Bodies of ``POST /signup`` that are accepted."""

    __random_seed__ = 4
    email = Use(
        lambda: (
            f"{SignupFactory.__faker__.user_name()}.{SignupFactory.__random__.randrange(10**9)}@example.com"
        )
    )
    phone = None
    password = PASSWORD
    data = Use(dict[str, Any])
    channel = None
    code_challenge = None
    code_challenge_method = None


def build_user(email: str, *, password: str = PASSWORD, **columns: Any) -> User:
    """Return a confirmed user that nobody saved."""
    return User(
        id=uuid7(),
        aud="authenticated",
        role="authenticated",
        email=email,
        encrypted_password=CHEAP.hash(password),
        raw_app_meta_data={"provider": "email", "providers": ["email"]},
        raw_user_meta_data={},
        **{"email_confirmed_at": now(), **columns},
    )


async def save_user(work: AsyncSession, email: str, **columns: Any) -> User:
    """Add a user and its identity."""
    user = build_user(email, **columns)
    work.add(user)
    await work.flush()
    work.add(
        Identity(
            provider_id=str(user.id),
            user_id=user.id,
            identity_data={"sub": str(user.id), "email": email},
            provider="email",
        )
    )
    await work.flush()
    return user
