"""Settings of hooks, under GoTrue's names with our prefix."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modules.auth.sso_settings import SsoSettings
from monohull.kernel.settings import Secret

URI = r"^(https?://|pg-functions://|python://)"
_URI_WORDS = "https://…, pg-functions://postgres/<schema>/<function> or python://<package.module>/<function>"
_SECRET_WORDS = "Standard Webhooks secrets of an HTTP hook, v1,whsec_… joined by |; every one signs."

Uri = Annotated[str, Meta(pattern=URI)]


class HookSettings(SsoSettings, frozen=True, kw_only=True):
    """What is asked before something happens. ``MONOHULL_AUTH_HOOK_…``."""

    hook_custom_access_token_uri: Annotated[
        Uri | None, Meta(description=f"Changes the claims of access tokens: {_URI_WORDS}.")
    ] = None
    hook_custom_access_token_secrets: Annotated[Secret | None, Meta(description=_SECRET_WORDS)] = None
    hook_before_user_created_uri: Annotated[
        Uri | None, Meta(description=f"May refuse a new user: {_URI_WORDS}.")
    ] = None
    hook_before_user_created_secrets: Annotated[Secret | None, Meta(description=_SECRET_WORDS)] = None
    hook_password_verification_attempt_uri: Annotated[
        Uri | None, Meta(description=f"May refuse a password, right or wrong: {_URI_WORDS}.")
    ] = None
    hook_password_verification_attempt_secrets: Annotated[Secret | None, Meta(description=_SECRET_WORDS)] = (
        None
    )
    hook_mfa_verification_attempt_uri: Annotated[
        Uri | None, Meta(description=f"May refuse a second factor: {_URI_WORDS}.")
    ] = None
    hook_mfa_verification_attempt_secrets: Annotated[Secret | None, Meta(description=_SECRET_WORDS)] = None
    hook_send_email_uri: Annotated[
        Uri | None, Meta(description=f"Sends mail in our place: {_URI_WORDS}.")
    ] = None
    hook_send_email_secrets: Annotated[Secret | None, Meta(description=_SECRET_WORDS)] = None
    hook_send_sms_uri: Annotated[
        Uri | None, Meta(description=f"Sends text messages in our place: {_URI_WORDS}.")
    ] = None
    hook_send_sms_secrets: Annotated[Secret | None, Meta(description=_SECRET_WORDS)] = None
