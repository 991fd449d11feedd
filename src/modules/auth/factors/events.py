"""What second factors tell the rest of the product."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class FactorEnrolled(Event, frozen=True):
    """A user began to set up a second factor; it counts once a code of it was right."""

    name: ClassVar[str] = "auth.factor_enrolled"

    user_id: str
    factor_id: str
    factor_type: str


class FactorVerified(Event, frozen=True):
    """A session was strengthened by ``method`` (an ``amr`` method); ``is_first`` puts the factor in use."""

    name: ClassVar[str] = "auth.factor_verified"

    user_id: str
    factor_id: str
    factor_type: str
    session_id: str
    method: str
    is_first: bool
    address: str | None = None


class FactorUpdated(Event, frozen=True):
    """An administrator changed a factor; ``changed`` names what."""

    name: ClassVar[str] = "auth.factor_updated"

    user_id: str
    factor_id: str
    changed: tuple[str, ...]


class FactorDeleted(Event, frozen=True):
    """A second factor is gone; ``was_verified`` says whether it was in use."""

    name: ClassVar[str] = "auth.factor_deleted"

    user_id: str
    factor_id: str
    factor_type: str
    was_verified: bool


class RecoveryCodesGenerated(Event, frozen=True):
    """A user has new recovery codes; the old ones are void."""

    name: ClassVar[str] = "auth.recovery_codes_generated"

    user_id: str


class RecoveryCodesDeleted(Event, frozen=True):
    """A user has no recovery codes any more."""

    name: ClassVar[str] = "auth.recovery_codes_deleted"

    user_id: str


FACTOR_EVENTS: Final[tuple[type[Event], ...]] = (
    FactorEnrolled,
    FactorVerified,
    FactorUpdated,
    FactorDeleted,
    RecoveryCodesGenerated,
    RecoveryCodesDeleted,
)
ACTIONS: Final[dict[type[Event], tuple[str, str]]] = {
    FactorEnrolled: ("factor_in_progress", "factor"),
    FactorVerified: ("verification_attempted", "factor"),
    FactorUpdated: ("factor_updated", "factor"),
    FactorDeleted: ("factor_unenrolled", "factor"),
    RecoveryCodesGenerated: ("generate_recovery_codes", "user"),
    RecoveryCodesDeleted: ("recovery_codes_deleted", "user"),
}
"""What the audit log calls them, in GoTrue's words."""
