"""What waits for somebody to come back: links and codes that were sent, sign-ins under way."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from modules.auth.models.columns import (
    CHALLENGE_METHOD,
    SCHEMA,
    changed_at,
    enum,
    made_at,
    reference,
    row_id,
)
from monohull.kernel.database.base import Base

TOKEN_TYPE: Final = enum(
    "one_time_token_type",
    "confirmation_token",
    "reauthentication_token",
    "recovery_token",
    "email_change_token_new",
    "email_change_token_current",
    "phone_change_token",
)


class OneTimeToken(Base):
    """What was sent to prove an address: the hash of the link's token, which the code leads to as well.

    A user has one of each type at most; sending again makes the earlier one void.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = (
        UniqueConstraint("user_id", "token_type", name="one_time_tokens_user_id_token_type_key"),
        Index("one_time_tokens_token_hash_idx", "token_hash"),
        Index("one_time_tokens_relates_to_idx", "relates_to"),
        Index("ix_one_time_tokens_created_at", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    user_id: Mapped[UUID] = reference("users")
    token_type: Mapped[str] = mapped_column(TOKEN_TYPE)
    token_hash: Mapped[str] = mapped_column(Text)
    relates_to: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()


class OauthClientState(Base):
    """What we keep while somebody visits a provider."""

    __tablename__ = "oauth_client_states"
    __table_args__ = (Index("ix_oauth_client_states_created_at", "created_at"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid4, server_default=text("gen_random_uuid()")
    )
    provider_type: Mapped[str] = mapped_column(Text)
    code_verifier: Mapped[str | None] = mapped_column(Text)
    nonce: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()


class FlowState(Base):
    """A sign-in that ends with a code (PKCE), or comes back from a provider.

    The id travels through browsers, so it is random and tells no time. ``auth_code`` is a hash.
    """

    __tablename__ = "flow_state"
    __table_args__ = (
        Index("ix_flow_state_auth_code", "auth_code", unique=True),
        Index("ix_flow_state_user_id", "user_id", "authentication_method"),
        Index("ix_flow_state_oauth_client_state_id", "oauth_client_state_id"),
        Index("ix_flow_state_linking_target_id", "linking_target_id"),
        Index("ix_flow_state_created_at", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid4, server_default=text("gen_random_uuid()")
    )
    user_id: Mapped[UUID | None] = reference("users")
    auth_code: Mapped[str | None] = mapped_column(Text)
    code_challenge_method: Mapped[str | None] = mapped_column(CHALLENGE_METHOD)
    code_challenge: Mapped[str | None] = mapped_column(Text)
    provider_type: Mapped[str] = mapped_column(Text)
    provider_access_token: Mapped[str | None] = mapped_column(Text)
    provider_refresh_token: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()
    authentication_method: Mapped[str] = mapped_column(Text)
    auth_code_issued_at: Mapped[datetime | None]
    invite_token: Mapped[str | None] = mapped_column(Text)
    referrer: Mapped[str | None] = mapped_column(Text)
    oauth_client_state_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("auth.oauth_client_states.id", ondelete="CASCADE")
    )
    linking_target_id: Mapped[UUID | None] = reference("users")
    email_optional: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
