"""How the catalog hears of changes; PostgREST's ``db-channel`` settings, whose prefix it shares."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct


class CatalogSettings(Struct, frozen=True, kw_only=True):
    """``MONOHULL_REST_CHANNEL`` and ``MONOHULL_REST_CHANNEL_ENABLED``."""

    prefix: ClassVar[str] = "REST_"

    channel: Annotated[
        str, Meta(min_length=1, max_length=63, description="Channel of NOTIFY that asks for a reload.")
    ] = "pgrst"
    channel_enabled: Annotated[bool, Meta(description="Whether that channel is listened to.")] = True
