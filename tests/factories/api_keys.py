"""Bodies of ``POST /platform/v1/api-keys``."""

from __future__ import annotations

from polyfactory.factories.msgspec_factory import MsgspecFactory

from modules.api_keys.dtos import CreateKey


class CreateKeyFactory(MsgspecFactory[CreateKey]):
    """Keys that are accepted: no permissions asked for, no end, no limits."""

    __random_seed__ = 5
    name = "deploy"
    kind = "secret"
    permissions = None
    expires_at = None
    user_id = None
    allowed_addresses = ()
    rate_per_minute = None
    quota = None
