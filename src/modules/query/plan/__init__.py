"""Plans: an asked-for tree, resolved against one catalog. One field per SQL clause, no SQL text."""

from modules.query.plan.model import ReadPlan
from modules.query.plan.read import plan_read

__all__ = ["ReadPlan", "plan_read"]
