"""``/platform/v1/policy``."""

from __future__ import annotations

import msgspec
from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from modules.policy.asked import parse_line, scope_of
from modules.policy.callers import find_caller
from modules.policy.dtos import ExplainRequest
from modules.policy.findings import Explanation
from modules.policy.permissions import READ_EXPLANATIONS
from modules.policy.services import Explanations
from monohull.kernel.guards import requires
from monohull.kernel.runtime import Runtime


class PolicyController(Controller):
    path = "/policy"
    tags = ("Policies",)

    @post(
        "/explain",
        guards=[requires(READ_EXPLANATIONS.name)],
        status_code=200,
        operation_id="ExplainPolicy",
    )
    async def explain(
        self,
        explanations: NamedDependency[Explanations],
        runtime: NamedDependency[Runtime],
        data: JSONBody[ExplainRequest],
    ) -> Response[Explanation]:
        """Try a request as somebody, undo it, and say what decided about it."""
        line = parse_line(data.request)
        principal = await find_caller(runtime, data.caller, role=data.role, claims=data.claims)
        body = body_of(data.body)
        scope = scope_of(
            line, data.headers, principal, runtime.authentication, has_body=data.body is not None
        )
        found = await explanations.explain(scope, body, principal, rows=data.rows)
        return Response(found, headers={"Cache-Control": "no-store"})


def body_of(value: object) -> bytes:
    """Return the body that is sent: JSON, but for a text, which is sent as it is."""
    if value is None:
        return b""
    return value.encode("utf-8", "replace") if isinstance(value, str) else msgspec.json.encode(value)
