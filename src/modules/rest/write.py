"""POST, PATCH, PUT and DELETE of a relation → `Mutation` and its values.

    POST     insert, or upsert by Prefer: resolution
    PUT      upsert of the one row that the filters name by its primary key
    PATCH    update of the rows that the filters leave
    DELETE   likewise

Source: PostgREST 16, ``ApiRequest.hs`` and ``Plan.hs``, ``mutatePlan``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.query import Action, Conflict, Mutation, Returning, Selection
from modules.rest.body import Body, parse_body, parse_json, parse_uneven
from modules.rest.errors import LimitsWithPut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.rest.head import Head
    from modules.rest.parameters import Parameters
    from modules.rest.preferences import NestedMode, Preferences

ACTIONS: Final[Mapping[str, Action]] = {
    "POST": "insert",
    "PUT": "insert",
    "PATCH": "update",
    "DELETE": "delete",
}


MAX_KEPT: Final = 1000
"""Mutations that are remembered, the oldest goes first; each takes some hundred bytes."""

MAX_KEPT_CHARACTERS: Final = 4096
"""Of a body's keys. Nobody fills the memory with names that no relation has."""

_kept: Final[dict[Any, tuple[Head, Selection, Mutation]]] = {}


class Nested(Struct, frozen=True):
    """What a body is that may hold rows of several relations.

    Attributes:
        mode: What is done with the rows below the top.
        columns: What ``columns=`` lists, or None.
        is_even: All rows at the top have the same keys, or ``columns=`` says what counts.
    """

    mode: NestedMode
    columns: tuple[str, ...] | None
    is_even: bool


def parse_write(head: Head, parameters: Parameters, raw: bytes) -> tuple[Mutation, Sequence[str | bytes]]:
    """Return the mutation and its values by slot: the query's, then the body, then ``max-affected``.

    Raises:
        BodyInvalid: PGRST102.
        LimitsWithPut: PGRST114.
    """
    body = None if head.method == "DELETE" else parse_body(raw, head.content_type, parameters.columns)
    values: list[str | bytes] = [*parameters.values]
    if body is not None:
        values.append(body.document)
    if _limits(head):
        values.append(head.preferences.max_affected or "")
    return _remembered(head, parameters, body), values


def parse_nested(
    head: Head, parameters: Parameters, raw: bytes
) -> tuple[Mutation, Sequence[str | bytes], Nested]:
    """Do what `parse_write` does with a JSON body whose rows may have different keys.

    The columns of the mutation are the keys of all rows, whether or not they name columns.

    Raises:
        BodyInvalid: PGRST102.
    """
    assert head.preferences.nested is not None
    columns = parameters.columns
    body, is_even = parse_uneven(raw) if columns is None else (parse_json(raw, columns), True)
    nested = Nested(head.preferences.nested, columns, is_even=is_even)
    return _remembered(head, parameters, body), [*parameters.values, body.document], nested


def takes_nested(head: Head) -> bool:
    """Say whether the body of a request may be nested."""
    media = head.content_type.partition(";")[0].strip().lower()
    return head.preferences.nested is not None and head.method == "POST" and media in {"", "application/json"}


def _remembered(head: Head, parameters: Parameters, body: Body | None) -> Mutation:
    """Return the same object for the same request: its hash is known, and it is found without comparing."""
    shape = None if body is None else (body.columns, body.nested, body.is_list)
    key = id(head), id(parameters.selection), parameters.on_conflict, shape
    kept = _kept.get(key)
    if kept is not None:
        return kept[2]
    mutation = _mutation(head, parameters, body)
    if body is not None and sum(map(len, body.columns)) > MAX_KEPT_CHARACTERS:
        return mutation
    _kept[key] = head, parameters.selection, mutation  # held, so that their ids stay theirs
    if len(_kept) > MAX_KEPT:
        del _kept[next(iter(_kept))]
    return mutation


def _mutation(head: Head, parameters: Parameters, body: Body | None) -> Mutation:
    action = ACTIONS[head.method]
    is_put = head.method == "PUT"
    if is_put and (parameters.selection.limit is not None or parameters.selection.offset is not None):
        raise LimitsWithPut
    preferences = head.preferences
    slot = len(parameters.values)
    return Mutation(
        action=action,
        schema=head.schema,
        relation=head.name,
        selection=parameters.selection,
        returning=_returning(preferences, head.method),
        body=None if body is None else slot,
        columns=body.columns if body is not None else (),
        nested=body.nested if body is not None else (),
        is_list=body is not None and body.is_list,
        defaults=preferences.missing == "default",
        conflict=_conflict(head, parameters) if action == "insert" else None,
        is_single=head.media.shape == "object",
        matches_key=is_put,
        max_affected=slot + (body is not None) if _limits(head) else None,
        shape=head.media.shape,
        count="exact" if preferences.count in ("exact", "estimated") else None,
        strip_nulls=head.media.strip_nulls,
    )


def _limits(head: Head) -> bool:
    return head.preferences.max_affected is not None and ACTIONS[head.method] != "insert"


def _returning(preferences: Preferences, method: str) -> Returning:
    if preferences.returning == "representation":
        return "representation"
    return "keys" if preferences.returning == "headers-only" and method == "POST" else "minimal"


def _conflict(head: Head, parameters: Parameters) -> Conflict | None:
    if head.method == "PUT":
        return Conflict()
    resolution = head.preferences.resolution
    if resolution is None:
        return None
    return Conflict(parameters.on_conflict, merge=resolution == "merge-duplicates")
