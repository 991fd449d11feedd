"""What waits for somebody to come back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from modules.auth.models import FlowState, OauthClientState, OneTimeToken
from monohull.kernel.clock import now
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class OneTimeTokenRepository(Repository[OneTimeToken]):
    """What was sent, as hashes."""

    model_type = OneTimeToken

    async def put(self, user_id: UUID, token_type: str, relates_to: str, token_hash: str) -> None:
        """Keep a hash; the user's earlier one of this type is void from now on."""
        at = now()
        fresh = {"token_hash": token_hash, "relates_to": relates_to, "created_at": at, "updated_at": at}
        await self.session.execute(
            insert(OneTimeToken)
            .values(user_id=user_id, token_type=token_type, **fresh)
            .on_conflict_do_update(constraint="one_time_tokens_user_id_token_type_key", set_=fresh)
        )

    async def take(
        self, hashes: Sequence[str], token_types: Sequence[str], *, user_id: UUID | None = None
    ) -> OneTimeToken | None:
        """Find one of ``hashes`` and delete it, so that nobody else can; whether it expired is not asked."""
        statement = (
            delete(OneTimeToken)
            .where(OneTimeToken.token_hash.in_(hashes), OneTimeToken.token_type.in_(token_types))
            .returning(OneTimeToken)
        )
        if user_id is not None:
            statement = statement.where(OneTimeToken.user_id == user_id)
        return (await self.session.scalars(statement)).first()

    async def void(self, user_id: UUID, *token_types: str) -> None:
        """Delete what was sent to the user; everything when no type is named."""
        statement = delete(OneTimeToken).where(OneTimeToken.user_id == user_id)
        if token_types:
            statement = statement.where(OneTimeToken.token_type.in_(token_types))
        await self.session.execute(statement)

    async def purge(self, *, older_than_seconds: float) -> None:
        """Delete what nobody came back for."""
        await self.session.execute(
            delete(OneTimeToken).where(
                OneTimeToken.created_at < now() - timedelta(seconds=older_than_seconds)
            )
        )


class FlowRepository(Repository[FlowState]):
    """Sign-ins under way."""

    model_type = FlowState

    async def find_latest(self, user_id: UUID, method: str) -> FlowState | None:
        """Return the user's last flow of this method that has not ended with a code."""
        found = await self.list_by(
            FlowState.user_id == user_id,
            FlowState.authentication_method == method,
            FlowState.auth_code.is_(None),
            order_by=[FlowState.created_at.desc()],
            limit=1,
        )
        return found[0] if found else None

    async def find_by_code(self, code_hash: str) -> FlowState | None:
        """Find by the hash of a code, and hold the row until the unit of work ends."""
        statement = select(FlowState).where(FlowState.auth_code == code_hash).with_for_update()
        return (await self.session.scalars(statement)).first()

    async def take_visit(self, flow_id: UUID) -> tuple[FlowState, OauthClientState] | None:
        """Find a visit to a provider and delete it, so that its state works once."""
        statement = (
            delete(FlowState)
            .where(
                FlowState.id == flow_id,
                FlowState.auth_code.is_(None),
                FlowState.oauth_client_state_id.is_not(None),
            )
            .returning(FlowState)
        )
        flow = (await self.session.scalars(statement)).first()
        if flow is None:
            return None
        ours = delete(OauthClientState).where(OauthClientState.id == flow.oauth_client_state_id)
        state = (await self.session.scalars(ours.returning(OauthClientState))).one()
        return flow, state

    async def end(self, user_id: UUID, method: str) -> None:
        """Forget the user's flows of this method that have not ended with a code."""
        await self.session.execute(
            delete(FlowState).where(
                FlowState.user_id == user_id,
                FlowState.authentication_method == method,
                FlowState.auth_code.is_(None),
            )
        )

    async def purge(self, *, older_than_seconds: float) -> None:
        """Delete what nobody came back for."""
        before = now() - timedelta(seconds=older_than_seconds)
        await self.session.execute(delete(OauthClientState).where(OauthClientState.created_at < before))
        await self.session.execute(delete(FlowState).where(FlowState.created_at < before))
