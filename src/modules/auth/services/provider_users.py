"""Whose a provider's profile is: somebody's who came before, somebody's address, or nobody's yet.

A profile joins an account by itself in one case only: the provider vouches for
the address, and the account has proven the same. An account that has not is no
account yet; whoever proves the address gets it without what the stranger left
in it who signed up with it. What no provider vouches for has to be proven by a
mail, and until then nobody is signed in, nor told whether the address is
somebody's.

Source: supabase/auth, ``internal/api/{external,identity}.go`` and ``models/linking.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from modules.auth import one_time
from modules.auth.errors import BannedBearer, SignupDisabled, UnknownBearer, ValidationFailed
from modules.auth.events import (
    ConfirmationRequested,
    EmailConfirmed,
    IdentityLinked,
    InvitationAccepted,
    SignUpRepeated,
    UserConverted,
)
from modules.auth.flow_errors import EmailExists
from modules.auth.models import Identity, User
from modules.auth.providers.errors import (
    EmailAddressNotProvided,
    IdentityAlreadyExists,
    InviteNotFound,
    ProviderEmailNeedsVerification,
)
from modules.auth.repositories import (
    IdentityRepository,
    OneTimeTokenRepository,
    SessionRepository,
    UserRepository,
)
from modules.auth.rules import check_domain
from modules.auth.services.new_users import Admission, create_user
from modules.auth.services.pkce import CodeChallenge, begin_flow
from modules.auth.services.sending import CONFIRM, Target
from monohull.kernel import clock, outbox
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.origin import Origin
    from modules.auth.providers.profiles import Profile
    from modules.auth.providers.provider import Provider
    from modules.auth.services.sending import Sender
    from monohull.kernel.events import Event


class Arrival(Struct, frozen=True, kw_only=True):
    """Somebody who comes from a provider.

    Attributes:
        provider: Which.
        profile: Who.
        origin: From where.
        redirect_to: Where the link of a confirmation ends.
        challenge: With a code, if there is one.
        invite_hash: Of the token of an invitation.
    """

    provider: Provider
    profile: Profile
    origin: Origin
    redirect_to: str = ""
    challenge: CodeChallenge | None = None
    invite_hash: str | None = None


Outcome: TypeAlias = User | ProviderEmailNeedsVerification
"""A user who may have a session, or what one hears who has to prove the address first."""


class ProviderUsers:
    """Finds, makes and links users."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._settings = sender.settings

    async def admit(self, work: AsyncSession, arrival: Arrival) -> Outcome:
        """Return the user of a profile, who is made if need be.

        Raises:
            EmailAddressNotProvided, ValidationFailed: 400. BannedBearer: 403. InviteNotFound: 404.
            SignupDisabled, EmailExists: 422. TooManyMails: 429.
            HookRejected, HookTimeout, HookFailed: The project does not want this user, or cannot say.
        """
        identity = await self._find(work, arrival)
        if arrival.invite_hash is not None:
            user = await self._invited(work, arrival, identity)
        elif identity is not None:
            user = await self._owner(work, identity)
            await self._note(work, user, identity, arrival)
        else:
            found = await self._newcomer(work, arrival)
            if not isinstance(found, User):
                return found
            user = found
        return await self._confirmed(work, user, arrival)

    async def link(self, work: AsyncSession, user_id: UUID, arrival: Arrival) -> User:
        """Add the profile to what the user is recognised by; an anonymous user becomes a permanent one.

        Raises:
            UnknownBearer, BannedBearer: 403. IdentityAlreadyExists, EmailExists: 422.
        """
        user = await UserRepository(work).lock(user_id)
        if user is None:
            raise UnknownBearer
        if user.is_banned:
            raise BannedBearer
        known = await self._find(work, arrival)
        if known is not None:
            owner = "" if known.user_id == user.id else " to another user"
            raise IdentityAlreadyExists(f"Identity is already linked{owner}")
        email = arrival.profile.email
        if not user.email and email and (arrival.profile.is_verified or self._sender.autoconfirms):
            if await UserRepository(work).find_by_email(email) is not None:
                raise EmailExists
            user.email = email
            await self._confirm(work, user)
        if user.is_anonymous:
            user.is_anonymous = False
            await _tell(work, user, UserConverted(user_id=str(user.id)))
        await self._recognise(work, user, arrival)
        return user

    @staticmethod
    async def _find(work: AsyncSession, arrival: Arrival) -> Identity | None:
        return await IdentityRepository(work).find_by_subject(arrival.provider.name, arrival.profile.subject)

    @staticmethod
    async def _owner(work: AsyncSession, identity: Identity) -> User:
        if (user := await UserRepository(work).lock(identity.user_id)) is None:
            raise UnknownBearer
        if user.is_banned:
            raise BannedBearer
        return user

    async def _newcomer(self, work: AsyncSession, arrival: Arrival) -> Outcome:
        """Join the account that has the address, or make one."""
        profile = arrival.profile
        if profile.email is None and not arrival.provider.email_optional:
            raise EmailAddressNotProvided
        holder = await UserRepository(work).find_by_email(profile.email) if profile.email else None
        if holder is not None:
            return await self._join(work, holder, arrival)
        if self._settings.disable_signup:
            raise SignupDisabled
        if profile.email:
            check_domain(profile.email, self._settings)
        user = await create_user(
            work,
            admission=Admission(self._sender.hooks, arrival.origin),
            email=profile.email,
            data=profile.claims,
            confirms=False,
            recognised_by=arrival.provider.name,
        )
        await self._recognise(work, user, arrival, tells=False)
        return user

    async def _join(self, work: AsyncSession, holder: User, arrival: Arrival) -> Outcome:
        user = await UserRepository(work).lock(holder.id)
        if user is None:
            raise UnknownBearer
        if not arrival.profile.is_verified:
            await _tell(work, user, SignUpRepeated(user_id=str(user.id)))
            return ProviderEmailNeedsVerification(arrival.provider.name)
        if user.is_banned:
            raise BannedBearer
        if user.email_confirmed_at is None:
            await self._take_over(work, user)
        await self._recognise(work, user, arrival)
        return user

    @staticmethod
    async def _take_over(work: AsyncSession, user: User) -> None:
        """Leave nothing in an account by which whoever opened it without proof could come in.

        Raises:
            EmailExists: 422, its owner has proven a number: it is theirs, whatever address stands there.
        """
        if user.phone_confirmed_at is not None:
            raise EmailExists
        user.encrypted_password = None
        if user.invited_at is None:  # what an invitation says is the administrator's
            user.raw_user_meta_data = {}
        for identity in await IdentityRepository(work).list_of(user.id):
            await work.delete(identity)
        await OneTimeTokenRepository(work).void(user.id)
        await SessionRepository(work).end(user.id)
        await work.flush()

    async def _invited(self, work: AsyncSession, arrival: Arrival, identity: Identity | None) -> User:
        """Return the user of an invitation, which is spent and proves the address."""
        assert arrival.invite_hash is not None
        row = await OneTimeTokenRepository(work).take([arrival.invite_hash], [one_time.CONFIRMATION])
        if row is None or not self._sender.secrets.is_alive(row.relates_to, row.created_at):
            raise InviteNotFound
        user = await UserRepository(work).lock(row.user_id)
        if user is None:
            raise InviteNotFound
        if user.is_banned:
            raise BannedBearer
        if row.relates_to != arrival.profile.email or arrival.profile.email != (user.email or "").lower():
            raise ValidationFailed("Invited email does not match emails from external provider")
        if identity is not None and identity.user_id != user.id:
            raise IdentityAlreadyExists("Identity is already linked to another user")
        if user.email_confirmed_at is None:
            await self._confirm(work, user)
        if identity is None:
            await self._recognise(work, user, arrival)
        return user

    async def _confirmed(self, work: AsyncSession, user: User, arrival: Arrival) -> Outcome:
        """Let a user pass whose address is proven, and send what proves it to another."""
        email = user.email
        if not email or user.email_confirmed_at is not None:
            return user
        vouched = arrival.profile.is_verified and arrival.profile.email == email.lower()
        if vouched or self._sender.autoconfirms:
            await self._confirm(work, user)
            return user
        self._sender.courier.require_mail()
        await self._sender.limits.mail("signup", email, arrival.origin)
        is_pkce = await begin_flow(work, user.id, arrival.challenge, CONFIRM.method)
        await self._sender.mail(work, user, CONFIRM, Target(email, arrival.redirect_to, is_pkce))
        await _tell(work, user, ConfirmationRequested(user_id=str(user.id), address=email))
        return ProviderEmailNeedsVerification(arrival.provider.name)

    @staticmethod
    async def _confirm(work: AsyncSession, user: User) -> None:
        user.email_confirmed_at = clock.now()
        user.raw_user_meta_data = {**(user.raw_user_meta_data or {}), "email_verified": True}
        await OneTimeTokenRepository(work).void(user.id, one_time.CONFIRMATION)
        await _tell(work, user, EmailConfirmed(user_id=str(user.id), email=user.email or ""))
        if user.invited_at is not None:
            await _tell(work, user, InvitationAccepted(user_id=str(user.id)))

    async def _recognise(
        self, work: AsyncSession, user: User, arrival: Arrival, *, tells: bool = True
    ) -> None:
        """Add the identity to the user; tell so, unless the user is new."""
        name = arrival.provider.name
        identity = Identity(
            id=uuid7(), provider_id=arrival.profile.subject, user_id=user.id, provider=name, identity_data={}
        )
        work.add(identity)
        await self._note(work, user, identity, arrival)
        await work.flush()
        await set_providers(work, user)
        if tells:
            await _tell(work, user, IdentityLinked(user_id=str(user.id), provider=name))
            if user.email_confirmed_at is not None:
                await self._sender.notify(work, user, "identity_linked_notification", provider=name)

    @staticmethod
    async def _note(work: AsyncSession, user: User, identity: Identity, arrival: Arrival) -> None:
        """Keep what the provider says of the person now."""
        claims = arrival.profile.claims
        identity.identity_data = claims
        identity.last_sign_in_at = clock.now()
        proven = {"email_verified": True} if user.email_confirmed_at is not None else {}
        user.raw_user_meta_data = {**(user.raw_user_meta_data or {}), **claims, **proven}
        await work.flush()


async def set_providers(work: AsyncSession, user: User) -> None:
    """Write into ``app_metadata`` by what the user is recognised."""
    names = list(dict.fromkeys(row.provider for row in await IdentityRepository(work).list_of(user.id)))
    own = user.raw_app_meta_data or {}
    first = own.get("provider")
    provider = first if first in names else next(iter(names), None)
    kept = {name: value for name, value in own.items() if name != "provider"}
    user.raw_app_meta_data = {**({"provider": provider} if provider else {}), **kept, "providers": names}


async def _tell(work: AsyncSession, user: User, event: Event) -> None:
    await outbox.publish(work, event, key=str(user.id))
