"""What a right answer does to a session: ``aal2``, another ``amr``, and tokens that say so.

The refresh token that was alive is replaced without having been presented: only
its hash is known here. So its successor is computed from that hash, and who
still holds the old one, another tab for example, is answered like any retry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.auth.errors import EndedSession
from modules.auth.models import RefreshToken
from modules.auth.repositories import AmrRepository, RefreshTokenRepository
from monohull.kernel import clock
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import SessionView
    from modules.auth.models import Factor, Session, User
    from modules.auth.services import SessionIssuer


RECOVERY_METHOD: Final = "mfa/recovery_code"
"""How the ``amr`` claim names a recovery code."""


async def strengthen(  # noqa: PLR0913, PLR0917 the rows, and what is done to them
    work: AsyncSession,
    issuer: SessionIssuer,
    user: User,
    session: Session,
    factor: Factor | None,
    method: str,
) -> SessionView:
    """Make ``session``, which is locked, ``aal2`` by ``factor`` (None: a recovery code); replace its tokens.

    Raises:
        EndedSession: 403, its tokens were revoked.
    """
    tokens = RefreshTokenRepository(work)
    if (active := await tokens.find_active(session.id)) is None:
        raise EndedSession
    session.aal, session.factor_id = "aal2", factor.id if factor is not None else None
    await AmrRepository(work).record(session.id, method)
    active.revoked, active.updated_at = True, clock.now()
    await work.flush()  # one token at most is alive, says an index
    token = issuer.chain.following_hash(active.token)
    await tokens.add(
        RefreshToken(token=hash_token(token), parent=active.token, user_id=user.id, session_id=session.id)
    )
    return await issuer.show(work, user, session, token)
