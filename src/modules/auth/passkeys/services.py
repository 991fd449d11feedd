"""Register passkeys, sign in with them, and keep them.

A challenge is spent by whoever answers it, rightly or not: it is deleted in a
transaction of its own before the answer is looked at.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from modules.auth.ceremonies import CeremonyFailed, credential_id_of, new_challenge, user_handle_of
from modules.auth.errors import UnknownBearer, UserBanned, ValidationFailed
from modules.auth.factors.enrolment import normal_name
from modules.auth.factors.errors import AnonymousBearer, EnrollNeedsAal2
from modules.auth.flow_errors import UserSsoManaged
from modules.auth.models import Passkey, PasskeyChallenge
from modules.auth.passkeys.dtos import OptionsView, PasskeyView
from modules.auth.passkeys.errors import (
    CredentialExists,
    CredentialNotFound,
    MalformedPasskeyId,
    PasskeyChallengeExpired,
    PasskeyChallengeNotFound,
    PasskeyDisabled,
    PasskeyNotFound,
    PasskeyVerificationFailed,
    RemoveNeedsAal2,
    TooManyPasskeys,
)
from modules.auth.passkeys.events import PasskeyDeleted, PasskeyRegistered, PasskeyUpdated
from modules.auth.passkeys.repository import PasskeyChallengeRepository, PasskeyRepository
from modules.auth.repositories import FactorRepository, UserRepository
from modules.auth.services.account import bearer_of
from modules.auth.settings import seconds
from monohull.kernel import clock, outbox
from monohull.kernel.database.repository import violated_constraint
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.ceremonies import Registered, RelyingParty
    from modules.auth.dtos import SessionView
    from modules.auth.factors.gate import FactorGate
    from modules.auth.models import User
    from modules.auth.origin import Origin
    from modules.auth.passkeys.dtos import PasskeyAnswer, PasskeyPatch
    from modules.auth.services import SessionIssuer
    from modules.auth.services.account import Bearer
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

REGISTRATION: Final = "registration"
AUTHENTICATION: Final = "authentication"
CREDENTIAL_INDEX: Final = "webauthn_credentials_credential_id_key"
METHOD: Final = "passkey"
TITLE: Final = "passkey"


class Passkeys:
    """Passkeys of everybody.

    Args:
        database: Where they are.
        party: Checks what keys sign.
        issuer: Opens sessions.
        sender: Tells people by mail.
        gate: Counts.
    """

    def __init__(
        self,
        database: Database,
        *,
        party: RelyingParty,
        issuer: SessionIssuer,
        sender: Sender,
        gate: FactorGate,
    ) -> None:
        self._database = database
        self._party = party
        self._issuer = issuer
        self._sender = sender
        self._gate = gate
        self._settings = sender.settings
        lifetime = seconds(self._settings.webauthn_challenge_expiry_duration) or 0
        self._lifetime = timedelta(seconds=lifetime)

    def check_enabled(self) -> None:
        """Refuse where the settings do.

        Raises:
            PasskeyDisabled: 404, as all of these.
        """
        if not self._settings.passkey_enabled:
            raise PasskeyDisabled

    async def begin_registration(self, principal: Principal, origin: Origin) -> OptionsView:
        """Ask for a new key.

        Raises:
            AnonymousBearer, EnrollNeedsAal2: 403. TooManyPasskeys, UserSsoManaged: 422. RateLimited: 429.
        """
        self.check_enabled()
        await self._gate.request(origin)
        async with self._database.unit_of_work() as work:
            user = (await self._admit(work, principal)).user
            known = [passkey.credential_id for passkey in await PasskeyRepository(work).list_of(user.id)]
            challenge = await self._ask(work, REGISTRATION, user.id)
        options = self._party.creation_options(
            user, challenge.session_data["challenge"], known=known, is_passkey=True
        )
        return _options(challenge, options)

    async def register(self, principal: Principal, body: PasskeyAnswer, origin: Origin) -> PasskeyView:
        """Take a new key.

        Raises:
            ValidationFailed, PasskeyChallengeNotFound, PasskeyChallengeExpired, PasskeyVerificationFailed:
                400. AnonymousBearer, EnrollNeedsAal2: 403.
            CredentialExists, TooManyPasskeys, UserSsoManaged: 422. RateLimited: 429.
        """
        self.check_enabled()
        await self._gate.request(origin)
        async with self._database.unit_of_work() as work:
            bearer = await self._admit(work, principal)
        text, credential = await self._take(body, REGISTRATION, bearer.user.id)
        try:
            registered = self._party.register(credential, text)
        except CeremonyFailed as error:
            raise PasskeyVerificationFailed from error
        try:
            async with self._database.unit_of_work() as work:
                return await self._keep(work, bearer.user.id, registered)
        except IntegrityError as error:
            if violated_constraint(error) == CREDENTIAL_INDEX:
                raise CredentialExists from error
            raise

    async def begin_sign_in(self, origin: Origin) -> OptionsView:
        """Ask for the signature of any passkey; the browser finds out which there are.

        Raises:
            RateLimited: 429.
        """
        self.check_enabled()
        await self._gate.request(origin)
        async with self._database.unit_of_work() as work:
            challenge = await self._ask(work, AUTHENTICATION, None)
        return _options(challenge, self._party.request_options(challenge.session_data["challenge"]))

    async def sign_in(self, body: PasskeyAnswer, origin: Origin) -> SessionView:
        """Open a session for who holds a key.

        Raises:
            ValidationFailed, PasskeyChallengeNotFound, PasskeyChallengeExpired, CredentialNotFound,
                PasskeyVerificationFailed, UserBanned: 400.
            RateLimited: 429.
        """
        self.check_enabled()
        await self._gate.request(origin)
        text, credential = await self._take(body, AUTHENTICATION, None)
        try:
            credential_id, handle = credential_id_of(credential), user_handle_of(credential)
        except CeremonyFailed as error:
            raise PasskeyVerificationFailed from error

        async def open_(work: AsyncSession) -> SessionView:
            passkeys = PasskeyRepository(work)
            owner = await passkeys.find_owner(credential_id)
            user = await UserRepository(work).lock(owner) if owner is not None else None
            passkey = await passkeys.lock(credential_id) if user is not None else None
            if user is None or passkey is None or passkey.user_id != user.id:
                raise CredentialNotFound
            if handle is not None and handle != user.id.bytes:
                raise PasskeyVerificationFailed
            try:
                signed = self._party.check_signature(
                    credential, text, public_key=passkey.public_key, sign_count=passkey.sign_count
                )
            except CeremonyFailed as error:
                raise PasskeyVerificationFailed from error
            if user.is_banned:
                raise UserBanned
            passkey.sign_count, passkey.backed_up = signed.sign_count, signed.backed_up
            passkey.last_used_at = clock.now()
            return await self._issuer.open(work, user, method=METHOD, origin=origin)

        return await self._issuer.hooks.transact(self._database, open_)

    async def show_all(self, principal: Principal) -> Sequence[PasskeyView]:
        """Return the caller's passkeys, oldest first."""
        self.check_enabled()
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
            return await list_passkeys(work, user)

    async def rename(self, principal: Principal, passkey_id: str, body: PasskeyPatch) -> PasskeyView:
        """Give a passkey another name.

        Raises:
            ValidationFailed: 400. PasskeyNotFound, MalformedPasskeyId: 404.
        """
        self.check_enabled()
        if body.friendly_name is None:
            raise ValidationFailed("friendly_name is required")
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
            passkey = await find_passkey(work, user, passkey_id)
            passkey.friendly_name = normal_name(body.friendly_name) or None
            event = PasskeyUpdated(user_id=str(user.id), passkey_id=str(passkey.id))
            await outbox.publish(work, event, key=str(user.id))
        return view_passkey(passkey)

    async def delete(self, principal: Principal, passkey_id: str) -> None:
        """Take a passkey of the caller away.

        Raises:
            RemoveNeedsAal2: 403, the caller has a second factor. PasskeyNotFound, MalformedPasskeyId: 404.
        """
        self.check_enabled()
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
            user = bearer.user
            if bearer.aal != "aal2" and await FactorRepository(work).has_verified(user.id):
                raise RemoveNeedsAal2
            await remove_passkey(self._sender, work, user, await find_passkey(work, user, passkey_id))

    async def _admit(self, work: AsyncSession, principal: Principal) -> Bearer:
        """Refuse who may not have another key."""
        bearer = await bearer_of(work, principal)
        user = bearer.user
        if user.is_anonymous:
            raise AnonymousBearer
        if user.is_sso_user:
            raise UserSsoManaged
        if bearer.aal != "aal2" and await FactorRepository(work).has_verified(user.id):
            raise EnrollNeedsAal2
        if await PasskeyRepository(work).count_of(user.id) >= self._settings.passkey_max_passkeys_per_user:
            raise TooManyPasskeys
        return bearer

    async def _ask(self, work: AsyncSession, kind: str, user_id: UUID | None) -> PasskeyChallenge:
        at = clock.now()
        challenge = PasskeyChallenge(
            id=uuid7(),
            user_id=user_id,
            challenge_type=kind,
            session_data={"challenge": new_challenge()},
            created_at=at,
            expires_at=at + self._lifetime,
        )
        return await PasskeyChallengeRepository(work).add(challenge)

    async def _take(self, body: PasskeyAnswer, kind: str, user_id: UUID | None) -> tuple[str, dict[str, Any]]:
        """Spend the challenge that ``body`` answers; return its text and the answer."""
        if body.challenge_id is None or body.credential is None:
            raise ValidationFailed("challenge_id and credential are required")
        async with self._database.unit_of_work() as work:
            taken = await PasskeyChallengeRepository(work).take(body.challenge_id, kind, user_id)
        if taken is None:
            raise PasskeyChallengeNotFound
        if taken.expires_at <= clock.now():
            raise PasskeyChallengeExpired
        return str(taken.session_data["challenge"]), body.credential

    async def _keep(self, work: AsyncSession, user_id: UUID, registered: Registered) -> PasskeyView:
        if (user := await UserRepository(work).lock(user_id)) is None:
            raise UnknownBearer
        passkeys = PasskeyRepository(work)
        if await passkeys.count_of(user.id) >= self._settings.passkey_max_passkeys_per_user:
            raise TooManyPasskeys
        passkey = await passkeys.add(
            Passkey(
                id=uuid7(),
                user_id=user.id,
                credential_id=registered.credential_id,
                public_key=registered.public_key,
                aaguid=UUID(registered.aaguid),
                sign_count=registered.sign_count,
                transports=registered.transports,
                backup_eligible=registered.backup_eligible,
                backed_up=registered.backed_up,
                created_at=clock.now(),
            )
        )
        event = PasskeyRegistered(user_id=str(user.id), passkey_id=str(passkey.id))
        await outbox.publish(work, event, key=str(user.id))
        await self._sender.notify(work, user, "mfa_factor_enrolled_notification", factor_type=TITLE)
        return view_passkey(passkey)


async def list_passkeys(work: AsyncSession, user: User) -> Sequence[PasskeyView]:
    """Return what the wire shows of a user's passkeys."""
    return [view_passkey(passkey) for passkey in await PasskeyRepository(work).list_of(user.id)]


async def find_passkey(work: AsyncSession, user: User, passkey_id: str) -> Passkey:
    """Find a passkey of ``user`` by an id in a path.

    Raises:
        PasskeyNotFound, MalformedPasskeyId: 404.
    """
    try:
        parsed = UUID(passkey_id)
    except ValueError:
        raise MalformedPasskeyId from None
    if (passkey := await PasskeyRepository(work).find_of(user.id, parsed)) is None:
        raise PasskeyNotFound
    return passkey


async def remove_passkey(sender: Sender, work: AsyncSession, user: User, passkey: Passkey) -> None:
    """Delete a passkey, and tell its owner."""
    await work.delete(passkey)
    await sender.notify(work, user, "mfa_factor_unenrolled_notification", factor_type=TITLE)
    event = PasskeyDeleted(user_id=str(user.id), passkey_id=str(passkey.id))
    await outbox.publish(work, event, key=str(user.id))


def view_passkey(passkey: Passkey) -> PasskeyView:
    """Show a passkey; never its key."""
    return PasskeyView(
        id=passkey.id,
        friendly_name=passkey.friendly_name,
        created_at=passkey.created_at,
        last_used_at=passkey.last_used_at,
    )


def _options(challenge: PasskeyChallenge, options: dict[str, Any]) -> OptionsView:
    expires_at = int(challenge.expires_at.timestamp())
    return OptionsView(challenge_id=challenge.id, options=options, expires_at=expires_at)
