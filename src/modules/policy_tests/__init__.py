"""Tests of policies: the matrix of who may do what with whose rows, kept in git and recomputed.

No wire: ``monohull policy matrix`` and ``monohull policy test``.
"""

from modules.policy_tests.examination import Examination, Scope, examining
from modules.policy_tests.matrix import Matrix

__all__ = ["Examination", "Matrix", "Scope", "examining"]
