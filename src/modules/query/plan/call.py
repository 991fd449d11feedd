"""`plan_call`: find the function that a `Call` means, and what is wanted of its rows.

Whether the caller may call it is for the database to say, by EXECUTE; its rows
are then open even where their table is closed, for somebody wrote the function
to give them out. What is embedded in them is read from tables, and checked.

Source: PostgREST 16, ``Plan.hs``, ``callReadPlan``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from modules.query.catalog import Relation
from modules.query.errors import AffectedNotCountable
from modules.query.plan.model import Called, CallPlan, Source
from modules.query.plan.outputs import with_text_embeds
from modules.query.plan.read import Rules, plan_rows
from modules.query.routines import Parameter, Routine, find_routine

if TYPE_CHECKING:
    from modules.query.ast import Call
    from modules.query.catalog import Catalog

CALL: Final = "pgrst_call"
"""What the rows are called in SQL. Clients see the name in PostgreSQL's errors, so it is PostgREST's."""


def plan_call(call: Call, catalog: Catalog, rules: Rules) -> CallPlan:
    """Resolve ``call``.

    Raises:
        RoutineNotFound: PGRST202.
        RoutineAmbiguous: PGRST203.
        AffectedNotCountable: PGRST128.
        QueryProblem: What `plan_read` refuses, in the selection.
    """
    routine = routine_of(call, catalog)
    if call.max_affected is not None and not routine.is_set:
        raise AffectedNotCountable
    relation = _rows_of(routine, catalog)
    source = Source(relation.key, CALL, called=_called(call, routine))
    read, touched = plan_rows(call.selection, relation, source, catalog, rules, max_rows=call.max_rows)
    return CallPlan(call, routine, with_text_embeds(read, call.shape), touched)


def routine_of(call: Call, catalog: Catalog) -> Routine:
    """Return the function that ``call`` means.

    Raises:
        RoutineNotFound: PGRST202.
        RoutineAmbiguous: PGRST203.
    """
    return find_routine(catalog.routines, (call.schema, call.function), call.given, call.content)


def _rows_of(routine: Routine, catalog: Catalog) -> Relation:
    """Return what the rows are like; relationships are looked for in the function's own schema.

    Rows of a relation that the caller is limited in are those of that relation, whoever gives them.
    """
    name = routine.relation[1] if routine.relation is not None else routine.name
    found = catalog.find(routine.schema, name) if routine.relation is not None else None
    rows = found or Relation(routine.schema, name, "table", routine.columns)
    returned = catalog.relations.get(routine.relation) if routine.relation is not None else None
    if returned is None or returned.rule is None:
        return rows
    return replace(rows, columns=returned.columns, rule=returned.rule, stored=returned.stored)


def _called(call: Call, routine: Routine) -> Called:
    parameters: list[tuple[Parameter, tuple[int, ...]]] = []
    uses_body = False
    texts = {argument.name: argument.slots for argument in call.arguments}
    for parameter in routine.parameters:
        if (slots := texts.get(parameter.name)) is not None:
            parameters.append((parameter, slots if parameter.is_variadic else slots[-1:]))
        elif routine.takes_body or parameter.name in call.keys:
            parameters.append((parameter, ()))
            uses_body = True
    return Called(
        routine.key,
        tuple(parameters),
        call.body if uses_body else None,
        is_list=call.is_list and not routine.takes_body,
        is_row=routine.is_row,
    )
