"""Refusals of api_keys."""

from __future__ import annotations

from monohull.kernel.errors import Forbidden, InvalidRequest


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
