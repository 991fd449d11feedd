"""``Prefer: explain-denial``: the answer itself says why it is a refusal, or empty.

    Explain-Denial: {"summary": …, "culprits": [{"kind": "policy", "policy": "own orders", …}]}

The header is ASCII and short; a refusal has the whole explanation in its body too, as ``explanation``.
In development everybody may ask who is not limited to some columns, elsewhere who holds
``policy.explanations:read``; and that alone lets values of hidden rows and columns out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from modules.policy.permissions import READ_EXPLANATIONS
from modules.rest import Explained
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.errors import Problem
from monohull.kernel.observation import Level, Observation
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.policy.findings import Culprit, Explanation
    from modules.policy.services import Explanations
    from modules.rest import ApiRequest
    from monohull.kernel.observation import Observer
    from monohull.kernel.principal import Principal

MAX_HEADER_BYTES: Final = 2048
MAX_TEXT: Final = 300


class DenialUnexplained(Observation, frozen=True, kw_only=True):
    """A client asked why its request came to nothing, and the explanation failed; the answer is as it was."""

    event: ClassVar[str] = "policy.denial_unexplained"
    level: ClassVar[Level] = "warning"

    reason: str


class Denials:
    """Explains to clients what they were refused.

    Args:
        explanations: Finds the reasons.
        observer: Told of explanations that fail.
        is_development: Everybody may ask.
    """

    def __init__(self, explanations: Explanations, observer: Observer, *, is_development: bool) -> None:
        self._explanations = explanations
        self._observer = observer
        self._is_development = is_development

    async def explain_denial(
        self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal
    ) -> Explained | None:
        """Return the explanation, or None for callers who are not to have it, or where it fails."""
        may_see_rows = grants(principal.permissions, READ_EXPLANATIONS.name)
        may_ask = self._is_development and principal.columns is None  # policies name hidden columns
        if not (may_see_rows or may_ask):
            return None
        try:
            found = await self._explanations.explain_parsed(
                scope, request, principal, shows_rows=may_see_rows
            )
        except (Problem, PostgresError) as error:
            self._observer.observe(DenialUnexplained(reason=str(error)))
            return None
        return Explained(in_short(found), msgspec.to_builtins(found))


def in_short(explanation: Explanation) -> bytes:
    """Return the reasons as JSON that fits into a header; those at the end are left out if it does not."""
    culprits = [_short(culprit) for culprit in explanation.culprits]
    while True:
        document = {"summary": explanation.summary[:MAX_TEXT], "culprits": culprits}
        text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
        if len(text) <= MAX_HEADER_BYTES or not culprits:
            return text.encode()
        culprits.pop()


def _short(culprit: Culprit) -> dict[str, Any]:
    found = msgspec.to_builtins(culprit)
    assert isinstance(found, dict)
    return {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in found.items()}
