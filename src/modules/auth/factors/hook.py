"""Let the project refuse a second factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.events import UserSignedOut
from modules.auth.factors.errors import FactorVerificationRejected
from modules.auth.hooks import HookRejected
from modules.auth.repositories import SessionRepository
from monohull.kernel import outbox

if TYPE_CHECKING:
    from uuid import UUID

    from modules.auth.hooks import Hooks
    from monohull.kernel.database.engine import Database


async def ask_hook(  # noqa: PLR0913 who is asked about whom
    hooks: Hooks, database: Database, user_id: UUID, factor_id: UUID, factor_type: str, *, valid: bool
) -> None:
    """Ask ``mfa_verification_attempt``; who is refused is signed out everywhere, as GoTrue promises.

    Raises:
        FactorVerificationRejected: 403.
    """
    try:
        await hooks.mfa_verification_attempt(str(user_id), str(factor_id), factor_type, valid=valid)
    except HookRejected as rejected:
        async with database.unit_of_work() as work:
            if ended := await SessionRepository(work).end(user_id):
                event = UserSignedOut(user_id=str(user_id), scope="global", sessions=ended)
                await outbox.publish(work, event, key=str(user_id))
        raise FactorVerificationRejected(rejected.message) from rejected
