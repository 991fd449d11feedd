"""One process that keeps the others alive: embedded servers, API and worker of one machine.

It stays small (no web framework, no database driver is imported) and holds no
state that its death would lose: what it starts dies with it, and the next one
finds what did not.
"""

from monohull.kernel.supervisor.plan import Plan, make_plan
from monohull.kernel.supervisor.supervisor import Supervisor

__all__ = ["Plan", "Supervisor", "make_plan"]
