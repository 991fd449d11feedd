"""Second factors: set up, ask, believe, and what helps when one is lost. ``/auth/v1/factors``.

Each type of factor is a `kinds.Kind`; what they have in common is in
`enrolment`, `verification` and `strengthening`.
"""

from __future__ import annotations

from modules.auth.factors.administration import FactorAdministration
from modules.auth.factors.enrolment import Enrolment
from modules.auth.factors.recovery import Recovery
from modules.auth.factors.verification import FactorVerification

__all__ = ["Enrolment", "FactorAdministration", "FactorVerification", "Recovery"]
