"""One process that keeps the others alive: embedded servers, API and worker of one machine.

It holds no state that its death would lose: what it starts dies with it, and
the next one finds what did not. By itself it imports no web framework and no
database driver; where it loads the product, it does so for its forks (`Forks`)
and runs none of it.
"""

from monohull.kernel.supervisor.forks import Forks
from monohull.kernel.supervisor.plan import Plan, make_plan
from monohull.kernel.supervisor.supervisor import Supervisor

__all__ = ["Forks", "Plan", "Supervisor", "make_plan"]
