"""Policies explained: why a request of the data API is refused, or finds nothing."""

from __future__ import annotations

from modules.policy.findings import Culprit, Explanation, Step
from modules.policy.services import Explanations

__all__ = ["Culprit", "Explanation", "Explanations", "Step"]
