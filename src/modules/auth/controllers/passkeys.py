"""``/auth/v1/passkeys``: keys that open sessions. Wire source: supabase/auth, ``internal/api/passkey.go``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from modules.auth.captcha import Captcha
from modules.auth.controllers.admin import administrator
from modules.auth.controllers.bodies import takes
from modules.auth.controllers.humans import require_human
from modules.auth.controllers.token import issued
from modules.auth.dtos import SessionView
from modules.auth.guards import by_the_user
from modules.auth.origin import origin_of
from modules.auth.passkeys import PasskeyAdministration, Passkeys
from modules.auth.passkeys.dtos import OptionsView, PasskeyAnswer, PasskeyPatch, PasskeyView
from modules.auth.wire import decode
from monohull.kernel.guards import principal_of, public, signed_in


class PasskeysController(Controller):
    path = "/passkeys"
    tags = ("Auth",)
    guards = (signed_in, by_the_user)

    @get(operation_id="ListPasskeys")
    async def show_all(
        self, request: Request[Any, Any, Any], passkeys: NamedDependency[Passkeys]
    ) -> Sequence[PasskeyView]:
        """Return the caller's passkeys."""
        return await passkeys.show_all(principal_of(request))

    @post("/registration/options", status_code=HTTP_200_OK, operation_id="BeginPasskeyRegistration")
    async def begin_registration(
        self, request: Request[Any, Any, Any], passkeys: NamedDependency[Passkeys]
    ) -> OptionsView:
        """Ask for a new key."""
        return await passkeys.begin_registration(principal_of(request), origin_of(request))

    @post(
        "/registration/verify",
        status_code=HTTP_200_OK,
        operation_id="RegisterPasskey",
        operation_class=takes(PasskeyAnswer),
    )
    async def register(
        self, request: Request[Any, Any, Any], passkeys: NamedDependency[Passkeys]
    ) -> PasskeyView:
        """Take a new key."""
        body = decode(await request.body(), PasskeyAnswer)
        return await passkeys.register(principal_of(request), body, origin_of(request))

    @patch("/{passkey_id:str}", operation_id="RenamePasskey", operation_class=takes(PasskeyPatch))
    async def rename(
        self,
        request: Request[Any, Any, Any],
        passkeys: NamedDependency[Passkeys],
        passkey_id: FromPath[str],
    ) -> PasskeyView:
        """Give a passkey another name."""
        return await passkeys.rename(
            principal_of(request), passkey_id, decode(await request.body(), PasskeyPatch)
        )

    @delete("/{passkey_id:str}", status_code=HTTP_204_NO_CONTENT, operation_id="DeletePasskey")
    async def remove(
        self,
        request: Request[Any, Any, Any],
        passkeys: NamedDependency[Passkeys],
        passkey_id: FromPath[str],
    ) -> None:
        """Take a passkey away."""
        await passkeys.delete(principal_of(request), passkey_id)


class PasskeySignInController(Controller):
    path = "/passkeys/authentication"
    tags = ("Auth",)
    opt = public()

    @post("/options", status_code=HTTP_200_OK, operation_id="BeginPasskeySignIn")
    async def begin(
        self,
        request: Request[Any, Any, Any],
        passkeys: NamedDependency[Passkeys],
        captcha: NamedDependency[Captcha],
    ) -> OptionsView:
        """Ask for the signature of any passkey."""
        await require_human(request, captcha)
        return await passkeys.begin_sign_in(origin_of(request))

    @post(
        "/verify",
        status_code=HTTP_200_OK,
        operation_id="SignInWithPasskey",
        operation_class=takes(PasskeyAnswer),
    )
    async def sign_in(
        self, request: Request[Any, Any, Any], passkeys: NamedDependency[Passkeys]
    ) -> Response[SessionView]:
        """Open a session for who holds the key."""
        return issued(await passkeys.sign_in(decode(await request.body(), PasskeyAnswer), origin_of(request)))


class AdminPasskeysController(Controller):
    path = "/admin/users/{user_id:str}/passkeys"
    tags = ("Auth administration",)
    guards = (administrator,)

    @get(operation_id="ListPasskeysOfUser")
    async def show_all(
        self, passkey_administration: NamedDependency[PasskeyAdministration], user_id: FromPath[str]
    ) -> Sequence[PasskeyView]:
        """Return a user's passkeys."""
        return await passkey_administration.show_all(user_id)

    @delete("/{passkey_id:str}", status_code=HTTP_204_NO_CONTENT, operation_id="DeletePasskeyOfUser")
    async def remove(
        self,
        passkey_administration: NamedDependency[PasskeyAdministration],
        user_id: FromPath[str],
        passkey_id: FromPath[str],
    ) -> None:
        """Take a passkey away from a user."""
        await passkey_administration.delete(user_id, passkey_id)
