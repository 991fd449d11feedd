"""What production should not have of the audit log's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.audit.settings import AuditSettings
from monohull.kernel.hardening import Weak
from monohull.kernel.settings import weakness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.settings import Settings


def weaknesses(settings: Settings) -> Iterator[Weak]:
    """Yield what lets somebody else sign checkpoints."""
    secret = settings.of(AuditSettings).signing_secret
    if secret is None:
        return
    if (reason := weakness(secret)) is not None:
        yield Weak("signing_secret", f"{reason}; make one with `openssl rand -base64 48`")
    elif secret == settings.jwt.shared_secret:
        yield Weak("signing_secret", "it is the JWT secret; make another with `openssl rand -base64 48`")
