"""SQL text: the only place that writes any."""

from modules.query.sql.call import render_call
from modules.query.sql.fragment import Statement
from modules.query.sql.mutate import GUARD, INSERTED, render_mutation
from modules.query.sql.one import empty
from modules.query.sql.page import render_page
from modules.query.sql.read import render_count_plan, render_read
from modules.query.sql.row import empty_row, is_by_key, render_row
from modules.query.sql.spread import REFUSED, Spread, render_spread

__all__ = [
    "GUARD",
    "INSERTED",
    "REFUSED",
    "Spread",
    "Statement",
    "empty",
    "empty_row",
    "is_by_key",
    "render_call",
    "render_count_plan",
    "render_mutation",
    "render_page",
    "render_read",
    "render_row",
    "render_spread",
]
