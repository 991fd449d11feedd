"""Refusals of api_keys."""

from __future__ import annotations

from monohull.kernel.errors import Conflict, Forbidden, InvalidRequest, RateLimited


class UnknownPermissionNamed(InvalidRequest):
    """A permission that no module registers would never be asked for."""

    code = "unknown_permission"


class ExpiryPassed(InvalidRequest):
    """A key that could never be used."""

    code = "expiry_passed"


class BeyondOwnPermissions(Forbidden):
    """Nobody gives what they do not have."""

    code = "beyond_own_permissions"
    hint = "Leave the permission out, or ask somebody who holds it."


class AddressesInvalid(InvalidRequest):
    """An entry of the allow-list is no address and no network."""

    code = "addresses_invalid"
    hint = "Write addresses and networks as in 203.0.113.7, 203.0.113.0/24 and 2001:db8::/32."


class OwnerUnknown(InvalidRequest):
    """There is no such user, or it was deleted."""

    code = "owner_unknown"


class OwnerNeedsSecretKey(InvalidRequest):
    """A publishable key is public: whoever finds it would act as its owner."""

    code = "owner_needs_secret_key"
    hint = "Make a secret key, or leave user_id out."


class KeyEnded(Conflict):
    """The key was revoked or has expired; nothing brings it back."""

    code = "key_ended"
    hint = "Create another key."


class AddressNotAllowed(Forbidden):
    """The key may not be used from where the request comes."""

    code = "address_not_allowed"
    hint = (
        "Use the key from a network on its allow-list, or have this address added to it. Behind a proxy that "
        "is not in MONOHULL_TRUSTED_PROXIES every client has the proxy's address."
    )


class QuotaExceeded(RateLimited):
    """The key has made all requests of its day or month."""

    code = "quota_exceeded"
    hint = "Wait for the number of seconds in the Retry-After header, or have the key's quota raised."
