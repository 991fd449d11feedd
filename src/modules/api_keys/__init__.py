"""API keys: opaque keys for programs, hashed at rest and revocable.

    sb_publishable_<32 characters>_<6 characters>    may be in a browser; the anonymous role
    sb_secret_<32 characters>_<6 characters>         for servers; service_role, unless limited

Supabase's clients know these prefixes. Neighbours meet a key as a `Principal`.
"""

from __future__ import annotations

from modules.api_keys.events import ApiKeyChanged, ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated
from modules.api_keys.lookup import find_key_principal, look_at_key_limits

__all__ = [
    "ApiKeyChanged",
    "ApiKeyCreated",
    "ApiKeyRevoked",
    "ApiKeyRotated",
    "find_key_principal",
    "look_at_key_limits",
]
