"""What the guards of policy ask for."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

READ_EXPLANATIONS: Final = Permission(
    "policy.explanations:read",
    "See why requests of any caller are refused or find nothing: policies, and what they saw of hidden rows.",
)
