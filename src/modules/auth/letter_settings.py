"""Settings of what mails say and where their links lead, under GoTrue's names with our prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from modules.auth.hook_settings import HookSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATE: Final = "a template like those of mails."
_PATH_WORDS: Final = "A path of this host, or an address; unset: /auth/v1/verify."

Subject = Annotated[str, Meta(min_length=1, max_length=200)]
LinkPath = Annotated[str, Meta(pattern=r"^(/|https?://)[^\s#]*$")]

PATHS: Final[Mapping[str, str]] = {
    "confirmation": "confirmation",
    "invite": "invite",
    "team_invite": "team_invite",
    "recovery": "recovery",
    "magic_link": "recovery",
    "email_change": "email_change",
    "email_change_current": "email_change",
}
"""Which setting the link of a mail follows; to sign in with, the one of recovery as in GoTrue."""


class LetterSettings(HookSettings, frozen=True, kw_only=True):
    """``MONOHULL_AUTH_MAILER_SUBJECTS_…`` and ``MONOHULL_AUTH_MAILER_URLPATHS_…``."""

    mailer_subjects_confirmation: Annotated[
        Subject | None, Meta(description=f"Subject of the mail that confirms a sign-up; {_TEMPLATE}")
    ] = None
    mailer_subjects_invite: Annotated[
        Subject | None, Meta(description=f"Subject of invitations; {_TEMPLATE}")
    ] = None
    mailer_subjects_team_invite: Annotated[
        Subject | None, Meta(description=f"Subject of invitations into teams; {_TEMPLATE}")
    ] = None
    mailer_subjects_magic_link: Annotated[
        Subject | None, Meta(description=f"Subject of mails to sign in with; {_TEMPLATE}")
    ] = None
    mailer_subjects_recovery: Annotated[
        Subject | None, Meta(description=f"Subject of mails to set a new password with; {_TEMPLATE}")
    ] = None
    mailer_subjects_email_change: Annotated[
        Subject | None, Meta(description=f"Subject of mails that confirm a change of address; {_TEMPLATE}")
    ] = None
    mailer_subjects_reauthentication: Annotated[
        Subject | None, Meta(description=f"Subject of mails with a code for sensitive changes; {_TEMPLATE}")
    ] = None
    mailer_subjects_password_changed_notification: Annotated[
        Subject | None, Meta(description=f"Subject of the mail after a new password; {_TEMPLATE}")
    ] = None
    mailer_subjects_email_changed_notification: Annotated[
        Subject | None, Meta(description=f"Subject of the mail after a new address; {_TEMPLATE}")
    ] = None
    mailer_subjects_phone_changed_notification: Annotated[
        Subject | None, Meta(description=f"Subject of the mail after a new number; {_TEMPLATE}")
    ] = None
    mailer_subjects_mfa_factor_enrolled_notification: Annotated[
        Subject | None, Meta(description=f"Subject of the mail after a new second factor; {_TEMPLATE}")
    ] = None
    mailer_subjects_mfa_factor_unenrolled_notification: Annotated[
        Subject | None, Meta(description=f"Subject of the mail after a second factor less; {_TEMPLATE}")
    ] = None
    mailer_subjects_identity_linked_notification: Annotated[
        Subject | None, Meta(description=f"Subject of the mail after a new identity; {_TEMPLATE}")
    ] = None
    mailer_subjects_identity_unlinked_notification: Annotated[
        Subject | None, Meta(description=f"Subject of the mail after an identity less; {_TEMPLATE}")
    ] = None
    mailer_urlpaths_confirmation: Annotated[
        LinkPath | None, Meta(description=f"Where links that confirm a sign-up lead. {_PATH_WORDS}")
    ] = None
    mailer_urlpaths_invite: Annotated[
        LinkPath | None, Meta(description=f"Where links of invitations lead. {_PATH_WORDS}")
    ] = None
    mailer_urlpaths_team_invite: Annotated[
        LinkPath | None,
        Meta(
            description="Where links of invitations into teams lead. "
            "A path of the application, or an address; unset: site_url."
        ),
    ] = None
    mailer_urlpaths_recovery: Annotated[
        LinkPath | None,
        Meta(description=f"Where links to sign in or to set a new password with lead. {_PATH_WORDS}"),
    ] = None
    mailer_urlpaths_email_change: Annotated[
        LinkPath | None, Meta(description=f"Where links that confirm a change of address lead. {_PATH_WORDS}")
    ] = None

    mailer_subjects_webhook_disabled_notification: Annotated[
        Subject | None, Meta(description=f"Subject of the mail after a webhook was disabled; {_TEMPLATE}")
    ] = None

    def subject(self, template: str) -> str | None:
        """Return the subject that replaces the one of the mail ``template``."""
        name = "email_change" if template == "email_change_current" else template
        found: str | None = getattr(self, f"mailer_subjects_{name}")
        return found

    def link_path(self, template: str) -> str | None:
        """Return where the link of the mail ``template`` leads instead of ``/verify``."""
        if template not in PATHS:
            return None
        found: str | None = getattr(self, f"mailer_urlpaths_{PATHS[template]}")
        return found
