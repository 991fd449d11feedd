"""Flows that end with a code: begin one, end it with a code, exchange that for a session.

The code travels through a browser's address, where others may see it; only who
began the flow knows the verifier that belongs to the challenge. Codes are
stored as hashes, work once and for five minutes.

Source: RFC 7636; supabase/auth, ``internal/api/pkce.go`` and ``token.go: PKCE``.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from modules.auth.errors import BannedBearer, ValidationFailed
from modules.auth.flow_errors import BadCodeVerifier, FlowStateExpired, FlowStateNotFound, UserNotFound
from modules.auth.models import FlowState
from modules.auth.repositories import FlowRepository, UserRepository
from monohull.kernel import clock
from monohull.kernel.crypto import constant_time_equal
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import Challenge, PkceGrant, SessionView
    from modules.auth.origin import Origin
    from modules.auth.providers.vault import ProviderVault
    from modules.auth.services.sessions import SessionIssuer
    from monohull.kernel.database.engine import Database

CODE_SECONDS: Final = 300
METHODS: Final = ("s256", "plain")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class CodeChallenge(Struct, frozen=True):
    """What the verifier will be compared with. ``method`` is s256 or plain."""

    text: str
    method: str

    def fits(self, verifier: str) -> bool:
        """Say whether ``verifier`` belongs to this challenge."""
        if self.method == "plain":
            return constant_time_equal(verifier, self.text)
        digest = hashlib.sha256(verifier.encode()).digest()
        return constant_time_equal(urlsafe_b64encode(digest).rstrip(b"=").decode(), self.text)


def challenge_of(body: Challenge) -> CodeChallenge | None:
    """Return the challenge of a request, or None when it wants the implicit flow.

    Raises:
        ValidationFailed: 400, half of it is missing or malformed.
    """
    text, method = body.code_challenge or "", (body.code_challenge_method or "").lower()
    if not text and not method:
        return None
    if not text or not method:
        raise ValidationFailed("PKCE flow requires code_challenge_method and code_challenge")
    if method not in METHODS:
        raise ValidationFailed("invalid code_challenge_method: it must be s256 or plain")
    if not _CHALLENGE.fullmatch(text):
        raise ValidationFailed(
            "code challenge has to be between 43 and 128 characters of A-Z, a-z, 0-9 and -._~"
        )
    return CodeChallenge(text, method)


async def begin_flow(
    work: AsyncSession, user_id: UUID, challenge: CodeChallenge | None, method: str, provider: str = "email"
) -> bool:
    """Remember that the user's link of this method ends with a code; return whether it does."""
    flows = FlowRepository(work)
    await flows.end(user_id, method)
    if challenge is None:
        return False
    await flows.add(
        FlowState(
            user_id=user_id,
            code_challenge=challenge.text,
            code_challenge_method=challenge.method,
            provider_type=provider,
            authentication_method=method,
        )
    )
    return True


async def end_flow(work: AsyncSession, user_id: UUID, method: str) -> str:
    """Return the code of the user's flow; from now on it can be exchanged.

    Raises:
        FlowStateNotFound: 404, no flow was begun, or another one took its place.
    """
    flow = await FlowRepository(work).find_latest(user_id, method)
    if flow is None:
        raise FlowStateNotFound
    code = str(uuid4())
    flow.auth_code = hash_token(code)
    flow.auth_code_issued_at = clock.now()
    return code


class PkceExchange:
    """``grant_type=pkce``."""

    def __init__(self, database: Database, issuer: SessionIssuer, vault: ProviderVault) -> None:
        self._database = database
        self._issuer = issuer
        self._vault = vault

    async def open_session(self, grant: PkceGrant, origin: Origin) -> SessionView:
        """Open the session that the flow was about; the code is spent.

        Raises:
            ValidationFailed: 400. FlowStateNotFound: 404. FlowStateExpired: 422. BadCodeVerifier: 400.
            BannedBearer: 403. UserNotFound: 404.
        """
        if not grant.auth_code or not grant.code_verifier:
            raise ValidationFailed("invalid request: both auth code and code verifier should be non-empty")
        code, verifier = grant.auth_code, grant.code_verifier
        return await self._issuer.hooks.transact(
            self._database, lambda work: self._exchange(work, code, verifier, origin)
        )

    async def _exchange(self, work: AsyncSession, code: str, verifier: str, origin: Origin) -> SessionView:
        flow = await FlowRepository(work).find_by_code(hash_token(code))
        if flow is None or flow.auth_code_issued_at is None:
            raise FlowStateNotFound
        if flow.auth_code_issued_at + timedelta(seconds=CODE_SECONDS) < clock.now():
            raise FlowStateExpired
        challenge = CodeChallenge(flow.code_challenge or "", flow.code_challenge_method or "s256")
        if not challenge.fits(verifier):
            raise BadCodeVerifier
        user = await UserRepository(work).lock(flow.user_id) if flow.user_id else None
        if user is None:
            raise UserNotFound
        if user.is_banned:
            raise BannedBearer
        method = flow.authentication_method
        await work.delete(flow)
        session = await self._issuer.open(work, user, method=method, origin=origin)
        return self._with_provider_tokens(session, flow)

    def _with_provider_tokens(self, session: SessionView, flow: FlowState) -> SessionView:
        """Hand over what a provider gave us for its owner."""
        sealed = {
            "provider_token": flow.provider_access_token,
            "provider_refresh_token": flow.provider_refresh_token,
        }
        opened = {name: self._vault.open(text, name, flow.id) for name, text in sealed.items()}
        return msgspec.structs.replace(session, **{name: text for name, text in opened.items() if text})
