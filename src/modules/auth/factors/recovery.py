"""Recovery codes: ten words for who loses the phone. Ours; GoTrue has none.

They are given to who has used a second factor in this session, and each takes
the place of one answer to a challenge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.errors import UnknownBearer
from modules.auth.factors.dtos import RecoveryCodesLeft, RecoveryCodesView
from modules.auth.factors.errors import FactorNotFound, RecoveryNeedsAal2
from modules.auth.factors.events import RecoveryCodesGenerated
from modules.auth.factors.sealing import new_recovery_codes
from modules.auth.repositories import FactorRepository, RecoveryCodeRepository, UserRepository
from modules.auth.services.account import bearer_of
from monohull.kernel import outbox

if TYPE_CHECKING:
    from modules.auth.factors.sealing import FactorSeal
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


class Recovery:
    """Gives recovery codes.

    Args:
        database: Where their hashes are.
        seal: Makes the hashes.
    """

    def __init__(self, database: Database, seal: FactorSeal) -> None:
        self._database = database
        self._seal = seal

    async def generate(self, principal: Principal) -> RecoveryCodesView:
        """Draw new codes; the old ones are void.

        Raises:
            RecoveryNeedsAal2: 403. FactorNotFound: 404, there is no factor that could be lost.
        """
        codes = new_recovery_codes()
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
            if (user := await UserRepository(work).lock(bearer.user.id)) is None:
                raise UnknownBearer
            if not await FactorRepository(work).has_verified(user.id):
                raise FactorNotFound
            if bearer.aal != "aal2":
                raise RecoveryNeedsAal2
            hashes = [self._seal.hash_recovery_code(user.id, code) for code in codes]
            await RecoveryCodeRepository(work).replace(user.id, hashes)
            event = RecoveryCodesGenerated(user_id=str(user.id))
            await outbox.publish(work, event, key=str(user.id))
        return RecoveryCodesView(list(codes))

    async def count(self, principal: Principal) -> RecoveryCodesLeft:
        """Say how many codes the caller has left."""
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
            return RecoveryCodesLeft(await RecoveryCodeRepository(work).count_unused(bearer.user.id))
