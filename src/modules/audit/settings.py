"""``MONOHULL_AUDIT_*``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from monohull.kernel.settings import Secret


class AuditSettings(Struct, frozen=True, kw_only=True):
    """How long the audit log is kept, and how its end is signed."""

    prefix: ClassVar[str] = "AUDIT_"

    retention_months: Annotated[
        Annotated[int, Meta(ge=1, le=1200)] | None,
        Meta(description="Whole months that are kept beside the current one; unset: all."),
    ] = None
    checkpoint_minutes: Annotated[
        int, Meta(ge=1, le=1440, description="How often the end of the chain is signed, when it moved.")
    ] = 5
    checkpoint_folder: Annotated[
        Path | None,
        Meta(
            description="Where signed checkpoints are written as well: a folder that whoever runs the "
            "database cannot change. Unset: they are in the database alone."
        ),
    ] = None
    signing_secret: Annotated[
        Secret | None,
        Meta(
            description="What the Ed25519 key of checkpoints is derived from, 32 characters at least; "
            "unset: the JWT secret."
        ),
    ] = None
    trusted_keys: Annotated[
        tuple[str, ...],
        Meta(description="Public keys, comma-separated, of checkpoints that an earlier secret signed."),
    ] = ()
