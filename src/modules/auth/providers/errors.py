"""Refusals of sign-ins with providers, by GoTrue's codes and texts.

Source: supabase/auth, ``internal/api/{external,identity,token_oidc}.go``.
"""

from __future__ import annotations

from modules.auth.errors import AuthProblem, ValidationFailed


class UnsupportedProvider(ValidationFailed):
    """Nobody signs in with this provider here."""

    code = "validation_failed"

    def __init__(self, reason: str = "provider is not enabled") -> None:
        super().__init__(f"Unsupported provider: {reason}")


class ProviderDisabled(AuthProblem):
    """The provider is known and switched off."""

    code = "provider_disabled"
    status = 400

    def __init__(self, name: str) -> None:
        super().__init__(f"Provider (issuer {name!r}) is not enabled")


class BadOauthCallback(AuthProblem):
    """What the browser brought back from a provider lacks something, or the provider refused."""

    code = "bad_oauth_callback"
    status = 400


class BadOauthState(AuthProblem):
    """The state is not one of ours, was used, or came too late."""

    code = "bad_oauth_state"
    status = 400

    def __init__(self) -> None:
        super().__init__("OAuth callback with invalid state")


class ProviderUnavailable(AuthProblem):
    """The provider does not answer, or not in time, or with nonsense."""

    code = "unexpected_failure"
    status = 503
    hint = "Try again; if it stays so, look for outbound.not_answered in the log."


class ProviderMisconfigured(ProviderUnavailable):
    """What an administrator wrote about a provider does not hold any more."""

    code = "unexpected_failure"
    hint = "Compare the provider's issuer and addresses with its discovery document."


class BadIdToken(ValidationFailed):
    """An id token is not the provider's, not for us, or not for now."""

    code = "validation_failed"

    def __init__(self, message: str = "Bad ID token") -> None:
        super().__init__(message)


class ProviderEmailNeedsVerification(AuthProblem):
    """The provider does not vouch for the address; the person has to, by a mail of ours."""

    code = "provider_email_needs_verification"
    status = 422

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"Unverified email with {provider}. A confirmation email has been sent to your {provider} email"
        )


class EmailAddressNotProvided(AuthProblem):
    """The provider tells no address, and one is needed."""

    code = "email_address_not_provided"
    status = 400
    hint = (
        "Ask for the provider's scope that has it, or set MONOHULL_AUTH_EXTERNAL_<PROVIDER>_EMAIL_OPTIONAL."
    )

    def __init__(self) -> None:
        super().__init__("Error getting user email from external provider")


class InviteNotFound(AuthProblem):
    """The invitation is not there, was used, or came too late."""

    code = "invite_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("Invite not found")


class IdentityAlreadyExists(AuthProblem):
    """The identity is linked already: to the caller, or to somebody else."""

    code = "identity_already_exists"
    status = 422


class IdentityNotFound(AuthProblem):
    """The caller has no identity of this id."""

    code = "identity_not_found"
    status = 422

    def __init__(self) -> None:
        super().__init__("Identity doesn't exist")


class SingleIdentityNotDeletable(AuthProblem):
    """Without it the user could not sign in any more."""

    code = "single_identity_not_deletable"
    status = 422

    def __init__(self) -> None:
        super().__init__("User must have at least 1 identity after unlinking")


class EmailConflictIdentityNotDeletable(AuthProblem):
    """The address of the identity that would be left is somebody else's."""

    code = "email_conflict_identity_not_deletable"
    status = 422

    def __init__(self) -> None:
        super().__init__("Unable to unlink identity due to email conflict")


class ManualLinkingDisabled(AuthProblem):
    """``SECURITY_MANUAL_LINKING_ENABLED`` is not set."""

    code = "manual_linking_disabled"
    status = 404
    hint = "Set MONOHULL_AUTH_SECURITY_MANUAL_LINKING_ENABLED=true."

    def __init__(self) -> None:
        super().__init__("Manual linking is disabled")


class MalformedIdentityId(AuthProblem):
    """The id in the path is no UUID."""

    code = "validation_failed"
    status = 404

    def __init__(self) -> None:
        super().__init__("identity_id must be an UUID")


class Web3ProviderDisabled(AuthProblem):
    """Wallets do not sign in here, or not those of this chain."""

    code = "web3_provider_disabled"
    status = 422
    hint = "Set MONOHULL_AUTH_EXTERNAL_WEB3_SOLANA_ENABLED or …_ETHEREUM_ENABLED to true."


class Web3UnsupportedChain(AuthProblem):
    """There is no such chain."""

    code = "web3_unsupported_chain"
    status = 400

    def __init__(self) -> None:
        super().__init__("Unsupported chain")


class InvalidGrant(AuthProblem):
    """The signed message is not for us, not for now, or not signed by whom it names."""

    code = "invalid_grant"
    status = 400


class CustomProviderNotFound(AuthProblem):
    """No provider was configured under this identifier."""

    code = "custom_provider_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("Custom provider not found")


class CustomProviderExists(AuthProblem):
    """A provider was configured under this identifier before."""

    code = "conflict"
    status = 409

    def __init__(self) -> None:
        super().__init__("A provider with this identifier exists already")
