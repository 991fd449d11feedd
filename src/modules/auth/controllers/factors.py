"""``/auth/v1/factors``: second factors. Wire source: supabase/auth, ``internal/api/mfa.go``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from modules.auth.controllers.admin import administrator
from modules.auth.controllers.bodies import takes
from modules.auth.controllers.token import issued
from modules.auth.dtos import FactorView, SessionView
from modules.auth.factors import Enrolment, FactorAdministration, FactorVerification, Recovery
from modules.auth.factors.dtos import (
    ChallengeBody,
    ChallengeView,
    EnrollBody,
    EnrolledView,
    FactorPatch,
    RecoveryCodeBody,
    RecoveryCodesStatus,
    RecoveryCodesView,
    VerifyFactorBody,
)
from modules.auth.guards import by_the_user
from modules.auth.origin import origin_of
from modules.auth.wire import decode
from monohull.kernel.guards import principal_of, signed_in

NO_STORE = {"Cache-Control": "no-store"}


class FactorsController(Controller):
    path = "/factors"
    tags = ("Auth",)
    guards = (signed_in, by_the_user)

    @post(status_code=HTTP_200_OK, operation_id="EnrollFactor", operation_class=takes(EnrollBody))
    async def enroll(
        self, request: Request[Any, Any, Any], enrolment: NamedDependency[Enrolment]
    ) -> Response[EnrolledView]:
        """Begin to set a second factor up; its secret is told this once."""
        body = decode(await request.body(), EnrollBody)
        return Response(await enrolment.enroll(principal_of(request), body), headers=NO_STORE)

    @post("/recovery-codes", status_code=HTTP_200_OK, operation_id="GenerateRecoveryCodes")
    async def generate_codes(
        self, request: Request[Any, Any, Any], recovery: NamedDependency[Recovery]
    ) -> Response[RecoveryCodesView]:
        """Return recovery codes, told this once; each takes the place of a second factor once."""
        return Response(await recovery.generate(principal_of(request)), headers=NO_STORE)

    @post("/recovery-codes/regenerate", status_code=HTTP_200_OK, operation_id="RegenerateRecoveryCodes")
    async def regenerate_codes(
        self, request: Request[Any, Any, Any], recovery: NamedDependency[Recovery]
    ) -> Response[RecoveryCodesView]:
        """Return codes in the place of the ones that there are, told this once."""
        codes = await recovery.generate(principal_of(request), replaces=True)
        return Response(codes, headers=NO_STORE)

    @post(
        "/recovery-codes/verify",
        status_code=HTTP_200_OK,
        operation_id="VerifyRecoveryCode",
        operation_class=takes(RecoveryCodeBody),
    )
    async def verify_code(
        self, request: Request[Any, Any, Any], recovery: NamedDependency[Recovery]
    ) -> Response[SessionView]:
        """Take a recovery code; the session is ``aal2`` from now on."""
        body = decode(await request.body(), RecoveryCodeBody)
        return issued(await recovery.verify(principal_of(request), body.code, origin_of(request)))

    @get("/recovery-codes", operation_id="GetRecoveryCodesStatus")
    async def count_codes(
        self, request: Request[Any, Any, Any], recovery: NamedDependency[Recovery]
    ) -> RecoveryCodesStatus:
        """Say how many recovery codes are left."""
        return await recovery.status(principal_of(request))

    @delete("/recovery-codes", status_code=HTTP_200_OK, operation_id="DeleteRecoveryCodes")
    async def delete_codes(
        self, request: Request[Any, Any, Any], recovery: NamedDependency[Recovery]
    ) -> dict[str, str]:
        """Make every recovery code void."""
        return {"id": str(await recovery.delete(principal_of(request)))}

    @post(
        "/{factor_id:str}/challenge",
        status_code=HTTP_200_OK,
        operation_id="ChallengeFactor",
        operation_class=takes(ChallengeBody, required=False),
    )
    async def challenge(
        self,
        request: Request[Any, Any, Any],
        factor_verification: NamedDependency[FactorVerification],
        factor_id: FromPath[str],
    ) -> ChallengeView:
        """Ask a second factor."""
        body = decode(await request.body() or b"{}", ChallengeBody)
        return await factor_verification.challenge(principal_of(request), factor_id, body, origin_of(request))

    @post(
        "/{factor_id:str}/verify",
        status_code=HTTP_200_OK,
        operation_id="VerifyFactor",
        operation_class=takes(VerifyFactorBody),
    )
    async def verify(
        self,
        request: Request[Any, Any, Any],
        factor_verification: NamedDependency[FactorVerification],
        factor_id: FromPath[str],
    ) -> Response[SessionView]:
        """Answer a challenge; the session is ``aal2`` from now on."""
        body = decode(await request.body(), VerifyFactorBody)
        return issued(
            await factor_verification.verify(principal_of(request), factor_id, body, origin_of(request))
        )

    @delete("/{factor_id:str}", status_code=HTTP_200_OK, operation_id="UnenrollFactor")
    async def unenroll(
        self,
        request: Request[Any, Any, Any],
        enrolment: NamedDependency[Enrolment],
        factor_id: FromPath[str],
    ) -> dict[str, str]:
        """Take a second factor away."""
        return {"id": str(await enrolment.unenroll(principal_of(request), factor_id))}


class AdminFactorsController(Controller):
    path = "/admin/users/{user_id:str}/factors"
    tags = ("Auth administration",)
    guards = (administrator,)

    @get(operation_id="ListFactors")
    async def show_all(
        self, factor_administration: NamedDependency[FactorAdministration], user_id: FromPath[str]
    ) -> Sequence[FactorView]:
        """Return a user's second factors."""
        return await factor_administration.show_all(user_id)

    @put("/{factor_id:str}", operation_id="UpdateFactor", operation_class=takes(FactorPatch))
    async def update(
        self,
        request: Request[Any, Any, Any],
        factor_administration: NamedDependency[FactorAdministration],
        user_id: FromPath[str],
        factor_id: FromPath[str],
    ) -> FactorView:
        """Change the name or the number of a factor."""
        body = decode(await request.body(), FactorPatch)
        return await factor_administration.update(user_id, factor_id, body)

    @delete("/{factor_id:str}", status_code=HTTP_200_OK, operation_id="DeleteFactor")
    async def remove(
        self,
        factor_administration: NamedDependency[FactorAdministration],
        user_id: FromPath[str],
        factor_id: FromPath[str],
    ) -> FactorView:
        """Take a factor away from a user."""
        return await factor_administration.delete(user_id, factor_id)
