"""POST, PATCH, PUT and DELETE of a relation → `Mutation` and its values.

    POST     insert, or upsert by Prefer: resolution
    PUT      upsert of the one row that the filters name by its primary key
    PATCH    update of the rows that the filters leave
    DELETE   likewise

Source: PostgREST 16, ``ApiRequest.hs`` and ``Plan.hs``, ``mutatePlan``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.query import Action, Conflict, Mutation, Returning
from modules.rest.body import Body, parse_body
from modules.rest.errors import LimitsWithPut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.rest.parameters import Parameters
    from modules.rest.preferences import Preferences
    from modules.rest.request import Head

ACTIONS: Final[Mapping[str, Action]] = {
    "POST": "insert",
    "PUT": "insert",
    "PATCH": "update",
    "DELETE": "delete",
}


def parse_write(head: Head, parameters: Parameters, raw: bytes) -> tuple[Mutation, Sequence[str | bytes]]:
    """Return the mutation and its values by slot.

    Raises:
        BodyInvalid: PGRST102.
        LimitsWithPut: PGRST114.
    """
    action = ACTIONS[head.method]
    is_put = head.method == "PUT"
    if is_put and (parameters.selection.limit is not None or parameters.selection.offset is not None):
        raise LimitsWithPut
    values: list[str | bytes] = [*parameters.values]
    body = None if action == "delete" else parse_body(raw, head.content_type, parameters.columns)
    preferences = head.preferences
    return Mutation(
        action=action,
        schema=head.schema,
        relation=head.name,
        selection=parameters.selection,
        returning=_returning(preferences, action),
        body=None if body is None else _slot(values, body.document),
        columns=body.columns if body is not None else (),
        nested=body.nested if body is not None else (),
        is_list=body is not None and body.is_list,
        defaults=preferences.missing == "default",
        conflict=_conflict(head, parameters) if action == "insert" else None,
        is_single=head.media.shape == "object",
        matches_key=is_put,
        max_affected=(
            _slot(values, preferences.max_affected)
            if preferences.max_affected is not None and action != "insert"
            else None
        ),
        shape=head.media.shape,
        count="exact" if preferences.count in ("exact", "estimated") else None,
        strip_nulls=head.media.strip_nulls,
    ), values


def _slot(values: list[str | bytes], value: str | bytes) -> int:
    values.append(value)
    return len(values) - 1


def _returning(preferences: Preferences, action: Action) -> Returning:
    if preferences.returning == "representation":
        return "representation"
    return "keys" if preferences.returning == "headers-only" and action == "insert" else "minimal"


def _conflict(head: Head, parameters: Parameters) -> Conflict | None:
    if head.method == "PUT":
        return Conflict()
    resolution = head.preferences.resolution
    if resolution is None:
        return None
    return Conflict(parameters.on_conflict, merge=resolution == "merge-duplicates")


__all__ = ["Body", "parse_write"]
