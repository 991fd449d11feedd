"""Along which index a search goes.

The planner takes columns for independent of each other: that an actor never does what
others do all day is nothing it knows. It would walk along the time, or along all that the
actor did, and look for a first entry in a million. So a search names its index: it orders by
all columns of it, begins at a place in that order and ends after a page. No other index
can do that, and no more than a page is read; what is behind the place but does not answer
the search is left out afterwards.

Where several actions are wanted (``auth.*``, or whatever an actor did to a kind of object), the
actions that there are come first, each found by one descent in the index, and then the
newest entries of each. There are few: modules have some two hundred actions in all.

The comparisons are ``<=`` and ``>=`` throughout. Of ``<`` the planner believes that nothing is there
when it is asked of the smallest value, however many entries have just that one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from monohull.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

TABLE: Final = "monohull.audit_entries"

_ACTION: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?")


class Wanted(Struct, frozen=True, kw_only=True):
    """Which entries.

    Attributes:
        actor: Id of the user or the key.
        action: A name, or everything below one: ``auth.*``.
        object: ``kind``, or ``kind:id``.
        request_id: Of the request that caused it.
        since: Recorded at this time or later.
        until: Recorded before this time.
    """

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Place(Struct, frozen=True):
    """Where an entry stands: behind every earlier one, and in front of every later one."""

    recorded_at: datetime
    sequence: int


class Query(Struct, frozen=True):
    """Text and the values of its parameters."""

    text: str
    values: tuple[Any, ...]


class _Path(Struct, frozen=True, kw_only=True):
    """An index but for its last two columns, which are the place.

    Attributes:
        equal: Its columns, and what each has to be.
        has_actions: Whether an action follows that may be any one from ``first`` to below ``end``.
    """

    equal: tuple[tuple[str, str], ...]
    has_actions: bool = False
    first: str = ""
    end: str | None = None


class _Stretch(Struct, frozen=True, kw_only=True):
    """The part of the log that a page lies in, in the direction of reading.

    Attributes:
        order: ``desc``, or ``asc``.
        start: The page begins with it; there may be no such entry.
        stop: The page ends in front of this time, or with it where the newest comes first.
    """

    order: str
    start: Place | None
    stop: datetime | None

    @property
    def on(self) -> str:
        return "<=" if self.order == "desc" else ">="

    @property
    def before_stop(self) -> str:
        return ">=" if self.order == "desc" else "<"


class _Values(list[Any]):
    """The values of parameters, as they come up."""

    def put(self, value: Any) -> str:
        """Keep a value; return the parameter that stands for it."""
        self.append(value)
        return f"${len(self)}"


def find_places(
    wanted: Wanted, *, limit: int, behind: Place | None = None, oldest_first: bool = False
) -> Query:
    """Return the query of where the entries of a page stand: ``recorded_at`` and ``sequence``, in order.

    Raises:
        InvalidRequest: 400, something in it cannot be searched for.
    """
    _check(wanted)
    stretch, values = _stretch_of(wanted, behind, oldest_first=oldest_first), _Values()
    if (path := _path_of(wanted)) is not None:
        text = _along(path, stretch, limit, values)
    else:
        text = _filtered(wanted, stretch, limit, values)
    return Query(text, tuple(values))


def _stretch_of(wanted: Wanted, behind: Place | None, *, oldest_first: bool) -> _Stretch:
    """Take the cursor and the times of a search together; sequences begin with 1."""
    starts = []
    if behind is not None:
        starts.append(Place(behind.recorded_at, behind.sequence + (1 if oldest_first else -1)))
    edge, stop = (wanted.since, wanted.until) if oldest_first else (wanted.until, wanted.since)
    if edge is not None:
        starts.append(Place(edge, 0))
    furthest = max if oldest_first else min
    start = furthest(starts, key=msgspec.structs.astuple) if starts else None
    return _Stretch(order="asc" if oldest_first else "desc", start=start, stop=stop)


def _along(path: _Path, stretch: _Stretch, limit: int, values: _Values) -> str:
    """Write a search that one index answers."""
    order, last = stretch.order, values.put(limit)
    columns = [column for column, _ in path.equal]
    known = [values.put(value) for _, value in path.equal]
    names = _names(path, known, values) if path.has_actions else None
    if names is not None:
        columns, known = [*columns, "action"], [*known, "names.name"]
    rest = [f"scanned.{column} = {value}" for column, value in zip(columns, known, strict=True)]
    if stretch.stop is not None:
        rest.append(f"scanned.recorded_at {stretch.before_stop} {values.put(stretch.stop)}")
    begin = [*known]
    if (start := stretch.start) is not None:
        begin += [values.put(start.recorded_at), values.put(start.sequence)]
    every = [*columns, "recorded_at", "sequence"]
    conditions = [_row(every[: len(begin)], stretch.on, begin), *_present(columns)]
    places = (
        f"select scanned.recorded_at, scanned.sequence from (select {', '.join(every)} from {TABLE} "  # noqa: S608 of our own text, as below
        f"where {_all(conditions)} order by {', '.join(f'{column} {order}' for column in every)} "
        f"limit {last}) as scanned where {_all(rest)} "
        f"order by scanned.recorded_at {order}, scanned.sequence {order}"
    )
    if names is None:
        return places
    return (
        f"with recursive {names} select found.recorded_at, found.sequence "  # noqa: S608
        f"from names cross join lateral ({places}) as found where names.name is not null "
        f"order by found.recorded_at {order}, found.sequence {order} limit {last}"
    )


def _names(path: _Path, known: Sequence[str], values: _Values) -> str:
    """Write the table of the actions that there are, each found behind the one before."""
    columns = [*(column for column, _ in path.equal), "action"]
    rest = [f"scanned.{column} = {value}" for column, value in zip(columns[:-1], known, strict=True)]
    if path.end is not None:
        rest.append(f"scanned.action < {values.put(path.end)}")

    def one(first: str) -> str:
        conditions = [_row(columns, ">=", [*known, first]), *_present(columns)]
        return (
            f"select scanned.action from (select {', '.join(columns)} from {TABLE} "  # noqa: S608
            f"where {_all(conditions)} order by {', '.join(columns)} limit 1) as scanned where {_all(rest)}"
        )

    # nothing stands between a text and the same text with the smallest character behind it
    return (
        f"names (name) as (({one(values.put(path.first))}) union all "  # noqa: S608
        f"select ({one('names.name || chr(1)')}) from names where names.name is not null)"
    )


def _row(columns: Sequence[str], compare: str, against: Sequence[str]) -> str:
    return f"({', '.join(columns)}) {compare} ({', '.join(against)})"


def _present(columns: Sequence[str]) -> list[str]:
    """Return what indexes ask of their entries that leave out what is null."""
    return [f"{column} is not null" for column in columns if column != "action"]


def _filtered(wanted: Wanted, stretch: _Stretch, limit: int, values: _Values) -> str:
    """Write a search that looks at all entries of a request or an object, or at all there are."""
    kind, object_id = _object_of(wanted)
    equal = (
        ("request_id", wanted.request_id),
        ("object_id", object_id),
        ("object_kind", kind),
        ("actor_id", wanted.actor),
        ("action", None if _stem_of(wanted) else wanted.action),
    )
    conditions = [f"e.{column} = {values.put(value)}" for column, value in equal if value is not None]
    if (stem := _stem_of(wanted)) is not None:
        conditions += [f"e.action >= {values.put(stem)}", f"e.action < {values.put(_end_of(stem))}"]
    if (start := stretch.start) is not None:
        at, sequence = values.put(start.recorded_at), values.put(start.sequence)
        # the time alone lets the server leave whole months alone
        conditions += [
            f"e.recorded_at {stretch.on} {at}",
            f"(e.recorded_at, e.sequence) {stretch.on} ({at}, {sequence})",
        ]
    if stretch.stop is not None:
        conditions.append(f"e.recorded_at {stretch.before_stop} {values.put(stretch.stop)}")
    return (
        f"select e.recorded_at, e.sequence from {TABLE} as e where {_all(conditions)} "  # noqa: S608
        f"order by e.recorded_at {stretch.order}, e.sequence {stretch.order} limit {values.put(limit)}"
    )


def _all(conditions: Sequence[str]) -> str:
    return " and ".join(conditions) or "true"


def _end_of(stem: str) -> str:
    """Return what stands behind everything that begins with ``auth.``: in ASCII, a slash follows the stop."""
    return stem[:-1] + "/"


def _stem_of(wanted: Wanted) -> str | None:
    """Return what the names of wanted actions begin with; None where one name or any is wanted."""
    if wanted.action is None or not wanted.action.endswith(".*"):
        return None
    return wanted.action[:-1]


def _object_of(wanted: Wanted) -> tuple[str | None, str | None]:
    """Return kind and id of the object, each where it is said."""
    if wanted.object is None:
        return None, None
    kind, _, object_id = wanted.object.partition(":")
    return kind, object_id or None


def _path_of(wanted: Wanted) -> _Path | None:
    """Return the index that answers all but the time; None where there is none."""
    kind, object_id = _object_of(wanted)
    stem = _stem_of(wanted)
    if wanted.request_id is not None:
        return None
    if object_id is not None and kind is not None:
        if wanted.actor is not None or wanted.action is not None:
            return None
        return _Path(equal=(("object_id", object_id), ("object_kind", kind)))
    named = [("actor_id", wanted.actor), ("object_kind", kind), ("action", None if stem else wanted.action)]
    equal = tuple((column, value) for column, value in named if value is not None)
    if stem is not None:
        return _Path(equal=equal, has_actions=True, first=stem, end=_end_of(stem))
    if wanted.action is None and kind is not None:
        return _Path(equal=equal, has_actions=True)
    return _Path(equal=equal) if equal else None


def _check(wanted: Wanted) -> None:
    for text in (wanted.actor, wanted.action, wanted.object, wanted.request_id):
        if text is not None and "\0" in text:
            raise InvalidRequest("The search holds a zero byte; no entry does.")
    for at in (wanted.since, wanted.until):
        if at is not None and at.tzinfo is None:
            raise InvalidRequest(
                "A time needs its zone.", details=at.isoformat(), hint="Write Z behind it for UTC."
            )
    if wanted.action is not None and not _ACTION.fullmatch(wanted.action):
        raise InvalidRequest(
            "The action is neither a name nor a name and .*", details=wanted.action[:100], hint="Try auth.*"
        )
