"""Refusals of the compiler: what was asked does not fit the database.

Codes and sentences are PostgREST's where it has the same refusal, because its
clients compare them. ``MH1xx`` are ours.

Source: PostgREST 16, ``Error.hs``; `docs/reference` lists them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monohull.kernel.errors import Problem, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query.columns import Key


class QueryProblem(Problem):
    """A refusal of the compiler. ``candidates`` is set where the details are a list."""

    candidates: Sequence[dict[str, Any]] | None = None


class RelationNotFound(QueryProblem):
    """The exposed schema has no such table or view."""

    code = "PGRST205"
    status = 404

    def __init__(self, schema: str, name: str, similar: str | None) -> None:
        super().__init__(
            f"Could not find the table '{schema}.{name}' in the schema cache",
            hint=f"Perhaps you meant the table '{schema}.{similar}'" if similar else None,
        )


class RelationshipNotFound(QueryProblem):
    """No foreign key leads from one relation to the other."""

    code = "PGRST200"
    status = 400

    def __init__(
        self, origin: str, target: str, *, schema: str, hint: str | None, similar: str | None
    ) -> None:
        using = f" using the hint '{hint}'" if hint else ""
        super().__init__(
            f"Could not find a relationship between '{origin}' and '{target}' in the schema cache",
            details=(
                f"Searched for a foreign key relationship between '{origin}' and '{target}'{using}"
                f" in the schema '{schema}', but no matches were found."
            ),
            hint=f"Perhaps you meant {similar}." if similar else None,
        )


class RelationshipAmbiguous(QueryProblem):
    """More than one foreign key leads there; the client must choose."""

    code = "PGRST201"
    status = 300

    def __init__(
        self, origin: str, target: str, *, candidates: Sequence[dict[str, Any]], choices: Sequence[str]
    ) -> None:
        listed = ", ".join(f"'{choice}'" for choice in choices)
        super().__init__(
            f"Could not embed because more than one relationship was found for '{origin}' and '{target}'",
            hint=(
                f"Try changing '{target}' to one of the following: {listed}. "
                "Find the desired relationship in the 'details' key."
            ),
        )
        self.candidates = candidates


class EmbedNotSelected(QueryProblem):
    """A condition, order or range names an embed that ``select`` does not have."""

    code = "PGRST108"
    status = 400

    def __init__(self, name: str, *, details: str | None = None) -> None:
        super().__init__(
            f"'{name}' is not an embedded resource in this request",
            details=details,
            hint=f"Verify that '{name}' is included in the 'select' query parameter.",
        )


class OrderNotPossible(QueryProblem):
    """Ordering by an embed that may have several rows."""

    code = "PGRST118"
    status = 400

    def __init__(self, origin: str, target: str) -> None:
        super().__init__(
            f"A related order on '{target}' is not possible",
            details=f"'{origin}' and '{target}' do not form a many-to-one or one-to-one relationship",
        )


class EmbedOperatorNotAllowed(QueryProblem):
    """An embed can be asked for being null, and nothing else."""

    code = "PGRST120"
    status = 400

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Bad operator on the '{name}' embedded resource",
            details="Only is null or not is null filters are allowed on embedded resources",
        )


class AggregatesOff(QueryProblem):
    """Aggregate functions are switched off."""

    code = "PGRST123"
    status = 400

    def __init__(self) -> None:
        super().__init__("Use of aggregate functions is not allowed")


class NotImplementedYet(QueryProblem):
    """Valid, and not something this version can do."""

    code = "PGRST127"
    status = 400

    def __init__(self, what: str) -> None:
        super().__init__("Feature not implemented", details=what)


class GeometryMissing(QueryProblem):
    """A feature needs a geometry. Code and sentence are PostGIS'."""

    code = "22023"
    status = 400

    def __init__(self) -> None:
        super().__init__("geometry column is missing")


class PagingImpossible(QueryProblem):
    """Pages by cursor need an order by stored columns that tells rows apart, and an answer that is a list."""

    code = "MH122"
    status = 400

    def __init__(self, why: str, hint: str) -> None:
        super().__init__("These rows cannot be paged by a cursor", details=why, hint=hint)


class NotOneRow(QueryProblem):
    """Exactly one row was asked for."""

    code = "PGRST116"
    status = 406

    def __init__(self, rows: int) -> None:
        super().__init__(
            "Cannot coerce the result to a single JSON object", details=f"The result contains {rows} rows"
        )


class TooManyAffected(QueryProblem):
    """More rows were written than the client allows; everything is rolled back."""

    code = "PGRST124"
    status = 400

    def __init__(self, rows: int) -> None:
        super().__init__(
            "Query result exceeds max-affected preference constraint",
            details=f"The query affects {rows} rows",
        )


class KeyMismatch(QueryProblem):
    """PUT: the body has another primary key than the address."""

    code = "PGRST115"
    status = 400

    def __init__(self) -> None:
        super().__init__("Payload values do not match URL in primary key column(s)")


class KeyFiltersInvalid(QueryProblem):
    """PUT: the filters are not the primary key, each column with eq."""

    code = "PGRST105"
    status = 405

    def __init__(self) -> None:
        super().__init__("Filters must include all and only primary key columns with 'eq' operators")


class RelationNotWritable(QueryProblem):
    """A view whose rows cannot be traced to one table, and that has no trigger in its place."""

    code = "MH102"
    status = 405

    def __init__(self, kind: str, name: str, action: str) -> None:
        super().__init__(
            f"The {kind} '{name}' has no {action}",
            hint="Write to the tables it reads, or give the view an INSTEAD OF trigger.",
        )


class ColumnNotFound(QueryProblem):
    """The body, or ``columns``, names a column that the relation does not have."""

    code = "PGRST204"
    status = 400

    def __init__(self, column: str, relation: str) -> None:
        super().__init__(f"Could not find the '{column}' column of '{relation}' in the schema cache")


class ColumnAbsent(QueryProblem):
    """A relation that the caller is limited in has no such column, for them. Words and code are PostgreSQL's.

    Args:
        column: As the client named it.
        relation: Schema and name, for explanations.
        owner: What its statement calls the relation; None where the column stands alone.
    """

    code = "42703"
    status = 400

    def __init__(self, column: str, relation: Key, owner: str | None = None) -> None:
        shown = f'"{column}"' if owner is None else f"{owner}.{column}"
        super().__init__(f"column {shown} does not exist")
        self.column = column
        self.relation = relation


class ColumnNotWritable(QueryProblem):
    """The roles of the caller leave the column, if there is one, out of what may be written."""

    code = "MH104"
    status = 403

    def __init__(self, column: str, relation: Key, roles: Sequence[str]) -> None:
        super().__init__(
            f"You may not write the column '{column}' of '{relation[1]}'",
            details=f"Limited by: {', '.join(roles)}",
            hint="Leave it out of the body and of columns, or have one of your roles list it.",
        )
        self.column = column
        self.relation = relation


class OffsetBeyondEnd(QueryProblem):
    """The page begins after the last row. ``total`` is the number of rows there are."""

    code = "PGRST103"
    status = 416

    def __init__(self, offset: int, total: int) -> None:
        super().__init__(
            "Requested range not satisfiable",
            details=f"An offset of {offset} was requested, but there are only {total} rows.",
        )
        self.total = total


class RelationClosed(QueryProblem):
    """The relation has no row security and nobody declared it public."""

    code = "MH100"
    status = 403

    def __init__(self, relation: str, why: str, hint: str) -> None:
        super().__init__(f"{relation} is closed to your role: {why}.", hint=hint)


class RelationClosedToAnonymous(RelationClosed):
    """The same for the anonymous role: 401, as for a privilege that it lacks."""

    code = "MH100"
    status = 401


class CatalogMissing(Unavailable):
    """The database's structure has not been read yet, since the database is away."""

    code = "PGRST002"

    def __init__(self) -> None:
        super().__init__("Could not query the database for the schema cache. Retrying.")


class RoutineNotFound(QueryProblem):
    """No function of this name takes these arguments."""

    code = "PGRST202"
    status = 404

    def __init__(self, shown: str, sought: str, *, hint: str | None, function: str | None = None) -> None:
        super().__init__(
            f"Could not find the function {shown} in the schema cache",
            details=(
                f"Searched for the function {function or shown}{sought}, "
                "but no matches were found in the schema cache."
            ),
            hint=f"Perhaps you meant to call the function {hint}" if hint else None,
        )


class RoutineAmbiguous(QueryProblem):
    """Several functions of this name take these arguments."""

    code = "PGRST203"
    status = 300

    def __init__(self, candidates: Sequence[str]) -> None:
        super().__init__(
            f"Could not choose the best candidate function between: {', '.join(candidates)}",
            hint=(
                "Try renaming the parameters or the function itself in the database "
                "so function overloading can be resolved"
            ),
        )


class AffectedNotCountable(QueryProblem):
    """``max-affected`` is about rows, and the function gives one value."""

    code = "PGRST128"
    status = 400

    def __init__(self) -> None:
        super().__init__(
            "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
        )
