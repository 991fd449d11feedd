"""GoTrue's settings of everything that sends something and waits for an answer, under its names.

`modules.auth.settings.AuthSettings` inherits these; they are apart because one list would be endless.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from modules.auth.letter_settings import LetterSettings
from monohull.kernel import clock
from monohull.kernel.settings import Secret

DURATION: Final = r"^(\d+|(\d+(\.\d+)?(h|m|s))+)$"

Duration = Annotated[str, Meta(pattern=DURATION)]


class LinkSettings(LetterSettings, frozen=True, kw_only=True):
    """Where links lead."""

    site_url: Annotated[
        Annotated[str, Meta(pattern=r"^[a-zA-Z][a-zA-Z0-9+.-]*://\S+$")] | None,
        Meta(description="The application; where links and redirects end by default. Unset: public_url."),
    ] = None
    uri_allow_list: Annotated[
        tuple[str, ...],
        Meta(description="Globs of further addresses where links may end, comma-separated."),
    ] = ()
    external_email_blocked_domains: Annotated[
        tuple[str, ...],
        Meta(
            description="Domains, comma-separated, that no new account and no new address may be of, each "
            "with what is below it: those of disposable mailboxes, for example; ours."
        ),
    ] = ()
    external_email_authorized_addresses: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses, or whole domains as @example.com, comma-separated, that mails may be "
            "sent to; unset: to all. Keeps a staging system from writing to customers."
        ),
    ] = ()
    external_anonymous_users_enabled: Annotated[
        bool, Meta(description="Sign-up with neither address nor number.")
    ] = False
    external_phone_enabled: Annotated[bool, Meta(description="Sign-up and sign-in by phone number.")] = False
    security_update_password_require_reauthentication: Annotated[
        bool, Meta(description="Ask for a nonce before a new password when the session is older than a day.")
    ] = False
    security_update_password_require_current_password: Annotated[
        bool, Meta(description="Ask for the present password before a new one.")
    ] = False


class MailSettings(LinkSettings, frozen=True, kw_only=True):
    """How mails are written and sent."""

    mailer_secure_email_change_enabled: Annotated[
        bool, Meta(description="Confirm a change of address by both addresses.")
    ] = True
    mailer_otp_exp: Annotated[
        int, Meta(ge=60, le=86_400, description="Seconds that links and codes in mails hold.")
    ] = 3600
    mailer_otp_length: Annotated[int, Meta(ge=6, le=10, description="Digits of codes in mails.")] = 6
    mailer_templates: Annotated[
        Path | None,
        Meta(description="Folder whose confirmation.html, confirmation.txt, … replace our own."),
    ] = None
    mailer_notifications_enabled: Annotated[
        bool, Meta(description="Tell people by mail when a password, address or number of theirs changed.")
    ] = True
    smtp_host: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Mail server; unset: mails are kept in the mailbox, or refused in production."),
    ] = None
    smtp_port: Annotated[int, Meta(ge=1, le=65535, description="465 speaks TLS from the start.")] = 587
    smtp_user: Annotated[
        Annotated[str, Meta(min_length=1)] | None, Meta(description="Login at the mail server.")
    ] = None
    smtp_pass: Annotated[Secret | None, Meta(description="Its password.")] = None
    smtp_tls: Annotated[
        Literal["auto", "starttls", "tls", "none"],
        Meta(description="auto: tls on port 465, else STARTTLS; none is for servers on this host."),
    ] = "auto"
    smtp_admin_email: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", description="Sender's address.")] = (
        "noreply@localhost"
    )
    smtp_sender_name: Annotated[str, Meta(description="Sender's name.")] = "Monohull"
    smtp_max_frequency: Annotated[
        Duration, Meta(description="Least time between two mails of one kind to one address.")
    ] = "1m"
    rate_limit_email_sent: Annotated[
        float, Meta(gt=0, description="Mails an hour that one client may cause, and that one address gets.")
    ] = 30


class SmsSettings(MailSettings, frozen=True, kw_only=True):
    """How text messages are sent."""

    sms_provider: Annotated[
        Literal["twilio", "mailbox"] | None,
        Meta(description="twilio speaks its HTTP interface; mailbox keeps them, not in production."),
    ] = None
    sms_autoconfirm: Annotated[bool, Meta(description="Trust phone numbers without a message.")] = False
    sms_otp_exp: Annotated[int, Meta(ge=10, le=86_400, description="Seconds that codes hold.")] = 60
    sms_otp_length: Annotated[int, Meta(ge=6, le=10, description="Digits of codes in messages.")] = 6
    sms_max_frequency: Annotated[
        Duration, Meta(description="Least time between two messages to one number.")
    ] = "1m"
    sms_template: Annotated[str, Meta(min_length=1, description="Text; {{ .Code }} is the code.")] = (
        "Your code is {{ .Code }}"
    )
    sms_test_otp: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^\+?\d+[=:]\d{1,10}$")], ...],
        Meta(description="number=code, comma-separated: numbers that get no message and always that code."),
    ] = ()
    sms_test_otp_valid_until: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(
            description="When such codes stop: their numbers get messages from then on. "
            "2030-01-31T00:00:00Z, for example."
        ),
    ] = None
    sms_twilio_account_sid: Annotated[str | None, Meta(description="Account at the provider.")] = None
    sms_twilio_auth_token: Annotated[Secret | None, Meta(description="Its secret.")] = None
    sms_twilio_message_service_sid: Annotated[
        str | None, Meta(description="Messaging service, or the sender's number with +.")
    ] = None
    sms_twilio_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://")], Meta(description="Another host with the same interface.")
    ] = "https://api.twilio.com"
    rate_limit_sms_sent: Annotated[
        float, Meta(gt=0, description="Messages an hour that one client may cause, and one number gets.")
    ] = 30


class FlowSettings(SmsSettings, frozen=True, kw_only=True):
    """How often one may try what was sent."""

    rate_limit_verify: Annotated[
        float, Meta(gt=0, description="Requests to /verify in 5 minutes from one address.")
    ] = 30
    rate_limit_anonymous_users: Annotated[
        float, Meta(gt=0, description="Anonymous sign-ups an hour from one address.")
    ] = 30

    def test_code(self, number: str) -> str | None:
        """Return the code of a number that gets no message; ``number`` has no plus sign."""
        ends_at = self.sms_test_otp_valid_until
        if ends_at is not None and clock.now() >= ends_at:
            return None
        pairs = (pair.lstrip("+").replace("=", ":").partition(":") for pair in self.sms_test_otp)
        return next((code for tested, _, code in pairs if tested == number), None)
