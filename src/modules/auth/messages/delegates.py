"""Have a hook send a message in our place.

What a hook refuses is not tried again, and nothing is sent by another way: whoever sets a hook relies
on it. A hook that fails or is late is asked again, as a mail server would be.

Payloads: supabase/auth, ``internal/hooks/v0hooks`` and ``internal/api/mail.go: invokeHook``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from modules.auth.hooks import HookRejected
from modules.auth.hooks.assembly import find_hooks
from modules.auth.repositories import IdentityRepository, UserRepository
from modules.auth.views import view_user
from monohull.kernel.queues import GiveUp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.auth.messages.letters import Variables
    from monohull.kernel.runtime import Runtime

ACTIONS: Final[Mapping[str, str]] = {
    "confirmation": "signup",
    "magic_link": "magiclink",
    "email_change_current": "email_change",
}
"""What GoTrue calls the mails whose templates have another name."""


async def delegate_mail(runtime: Runtime, template: str, to: str, variables: Variables) -> bool:
    """Have the hook send the mail; False when there is none.

    Raises:
        GiveUp: The hook refuses it for good. HookTimeout, HookFailed: It may do better later.
    """
    hooks = find_hooks(runtime)
    if not hooks.has("send_email"):
        return False
    email_data = {
        "token": variables.token,
        "token_hash": variables.token_hash,
        "redirect_to": variables.redirect_to,
        "email_action_type": ACTIONS.get(template, template),
        "site_url": variables.site_url,
        "token_new": variables.token_new,
        "token_hash_new": variables.token_hash_new,
        "old_email": variables.old_email,
    }
    user = await _shown(runtime, variables.user_id) or {"id": variables.user_id, "email": to}
    try:
        return await hooks.send_email(user, email_data)
    except HookRejected as error:
        raise GiveUp(f"the hook send_email refuses the mail: {error.message}") from error


async def delegate_text(runtime: Runtime, to: str, variables: Variables) -> bool:
    """Have the hook send the text message; False when there is none.

    Raises:
        GiveUp: The hook refuses it for good. HookTimeout, HookFailed: It may do better later.
    """
    hooks = find_hooks(runtime)
    if not hooks.has("send_sms"):
        return False
    user = await _shown(runtime, variables.user_id) or {"id": variables.user_id, "phone": to}
    try:
        return await hooks.send_sms(user, {"otp": variables.token, "phone": to})
    except HookRejected as error:
        raise GiveUp(f"the hook send_sms refuses the message: {error.message}") from error


async def _shown(runtime: Runtime, user_id: str) -> dict[str, Any] | None:
    """Return the user as its owner sees it; None when it is gone by now."""
    if not user_id:
        return None
    async with runtime.database.unit_of_work() as work:
        user = await UserRepository(work).find_alive(UUID(user_id))
        if user is None:
            return None
        shown: dict[str, Any] = msgspec.to_builtins(
            view_user(user, await IdentityRepository(work).list_of(user.id))
        )
        return shown
