"""The settings say which keys a process has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.key_sets import has_private_key
from modules.auth.keys.ring import KeyRing
from modules.auth.keys.rotation import Rotation
from modules.auth.keys.vault import Vault
from modules.auth.settings import AuthSettings
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def build_rotation(runtime: Runtime) -> Rotation:
    """Return what changes the signing keys of this installation."""
    auth = runtime.settings.of(AuthSettings)
    algorithm = "ES256" if auth.jwt_algorithm == "HS256" else auth.jwt_algorithm
    vault = Vault(jwt_secret(runtime.settings))
    return Rotation(runtime.database, vault, algorithm, lifetime_seconds=auth.jwt_exp)


def build_ring(runtime: Runtime) -> KeyRing:
    """Return the keys of this process; they sign unless the settings name something else that does."""
    settings = runtime.settings
    is_configured = has_private_key(settings.jwt.key_set)
    is_wanted = settings.of(AuthSettings).jwt_algorithm != "HS256" and not is_configured
    rotation = build_rotation(runtime) if is_wanted else None
    return KeyRing(runtime.database, Vault(jwt_secret(settings)), rotation, runtime.observer)
