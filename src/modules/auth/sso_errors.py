"""Refusals of single sign-on.

Source: supabase/auth, ``internal/api/{sso,ssoadmin,samlacs}.go`` and ``apierrors/errorcode.go``.
"""

from __future__ import annotations

from modules.auth.errors import AuthProblem


class SamlDisabled(AuthProblem):
    """SAML is switched off."""

    code = "saml_provider_disabled"
    status = 404
    hint = "Set MONOHULL_AUTH_SAML_ENABLED=true."

    def __init__(self) -> None:
        super().__init__("SAML 2.0 is disabled")


class SsoProviderNotFound(AuthProblem):
    """No organisation has this id or domain."""

    code = "sso_provider_not_found"
    status = 404

    def __init__(self, message: str = "No SSO provider assigned for this domain") -> None:
        super().__init__(message)


class SsoProviderDisabled(AuthProblem):
    """An administrator switched the organisation off."""

    code = "sso_provider_disabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("SSO provider is disabled")


class SamlIdpNotFound(AuthProblem):
    """The assertion is of an identity provider that nobody registered."""

    code = "saml_idp_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("A SAML connection has not been established with this Identity Provider")


class SamlIdpAlreadyExists(AuthProblem):
    """Another organisation has this identity provider."""

    code = "saml_idp_already_exists"
    status = 422

    def __init__(self) -> None:
        super().__init__("SAML Identity Provider with this EntityID already exists")


class SamlEntityIdMismatch(AuthProblem):
    """New metadata describe another identity provider."""

    code = "saml_entity_id_mismatch"
    status = 400

    def __init__(self) -> None:
        super().__init__("SAML metadata can be updated only if the EntityID stays the same")


class SsoDomainAlreadyExists(AuthProblem):
    """Another organisation has this domain."""

    code = "sso_domain_already_exists"
    status = 400

    def __init__(self) -> None:
        super().__init__("SSO domain is already in use by an SSO provider")


class SamlMetadataFetchFailed(AuthProblem):
    """The metadata could not be fetched from where they are said to be."""

    code = "saml_metadata_fetch_failed"
    status = 400


class SamlRelayStateNotFound(AuthProblem):
    """Nobody began this sign-in here, or it was finished."""

    code = "saml_relay_state_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("SAML RelayState does not exist, try logging in again?")


class SamlRelayStateExpired(AuthProblem):
    """The identity provider's answer came too late."""

    code = "saml_relay_state_expired"
    status = 422

    def __init__(self) -> None:
        super().__init__("SAML RelayState has expired. Try logging in again?")


class SamlAssertionRefused(AuthProblem):
    """The identity provider's answer does not prove who somebody is; details says which rule it broke."""

    code = "saml_assertion_invalid"
    status = 400

    def __init__(self, reason: str) -> None:
        super().__init__(f"SAML Assertion is not valid: {reason}")


class SamlAssertionNoUserId(AuthProblem):
    """The assertion says of nobody in particular that they signed in."""

    code = "saml_assertion_no_user_id"
    status = 422

    def __init__(self) -> None:
        super().__init__("SAML Assertion did not contain a persistent Subject Identifier attribute or NameID")


class SamlAssertionNoEmail(AuthProblem):
    """The assertion has no e-mail address."""

    code = "saml_assertion_no_email"
    status = 422
    hint = "Have the identity provider send one, or name its attribute in attribute_mapping."

    def __init__(self) -> None:
        super().__init__("SAML Assertion does not contain an email address")
