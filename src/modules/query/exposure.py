"""The secure default: a relation without row security is closed until somebody opens it.

PostgREST shows whatever the grants allow, and the default grants allow
everything, so a table made in a hurry is readable by the world. Here it is
closed to every role that row security applies to, unless row security is on or
the relation is declared public: by a line ``@public`` in its comment, or by the
setting ``MONOHULL_REST_PUBLIC_TABLES``.

Views need a closer look, for a view reads its tables as its *owner* and so goes
round their policies: it is closed unless it is a ``security_invoker`` view all
of whose tables are open. Materialized views and foreign tables cannot have
policies, and stay closed until declared public.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, cast

from msgspec import Struct

from modules.query.columns import Key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modules.query.catalog import Catalog, Relation

PUBLIC_LINE: Final = "@public"


class Exposure(Struct, frozen=True):
    """The operator's word on what is open.

    Attributes:
        schemas: Schemas that are exposed; a junction elsewhere joins nothing. None for all.
        mode: ``secure`` as above; ``grants`` leaves everything to the database's grants.
        public: Relations declared public by setting.
    """

    schemas: frozenset[str] | None = None
    mode: Literal["secure", "grants"] = "secure"
    public: frozenset[Key] = frozenset()


class Closure(Struct, frozen=True):
    """Why a relation is closed, and the ways to open it."""

    relation: str
    why: str
    hint: str


class Closures(Mapping[Key, Closure]):
    """What is closed to the roles that row security applies to, by relation.

    A relation is looked at when somebody asks about it: of a large catalog most
    never are, and nobody waits for them when the catalog is replaced.
    """

    def __init__(self, catalog: Catalog, exposure: Exposure) -> None:
        self._catalog = catalog
        self._exposure = exposure
        self._known: dict[Key, Closure | None] = {}

    def __getitem__(self, key: Key) -> Closure:
        closure = self._look(key)
        if closure is None:
            raise KeyError(key)
        return closure

    def __contains__(self, key: object) -> bool:
        return self._look(cast("Key", key)) is not None

    def __iter__(self) -> Iterator[Key]:
        return (key for key in self._catalog.relations if self._look(key) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _look(self, key: Key) -> Closure | None:
        if key not in self._known:
            relation = self._catalog.relations.get(key)
            if relation is None:
                return None
            self._known[key] = _close(self._catalog, self._exposure, relation)
        return self._known[key]


def find_closures(catalog: Catalog, exposure: Exposure) -> Mapping[Key, Closure]:
    """Return what is closed to the roles that row security applies to, by relation."""
    return {} if exposure.mode == "grants" else Closures(catalog, exposure)


def _close(catalog: Catalog, exposure: Exposure, relation: Relation) -> Closure | None:
    why = _why_closed(catalog, exposure, relation, seen=frozenset())
    return None if why is None else Closure(_shown(relation.key), why, _ways_to_open(relation))


def _why_closed(catalog: Catalog, exposure: Exposure, relation: Relation, seen: frozenset[Key]) -> str | None:
    if relation.key in exposure.public or _says_public(relation.comment):
        return None
    if relation.kind in ("table", "partitioned table"):
        return None if relation.has_row_security else "row level security is not enabled on it"
    if relation.kind != "view":
        return f"a {relation.kind} cannot have row level security"
    if not relation.is_security_invoker:
        return "the view reads its tables as its owner and so goes round their policies"
    return _why_bases_close(catalog, exposure, relation, seen | {relation.key})


def _why_bases_close(
    catalog: Catalog, exposure: Exposure, view: Relation, seen: frozenset[Key]
) -> str | None:
    for key in view.bases:
        if key in seen:
            continue
        base = catalog.relations.get(key)
        if base is None:
            return "the view reads a system catalog"
        if _why_closed(catalog, exposure, base, seen) is not None:
            return f"the view reads {_shown(key)}, which is closed"
    return None


def _says_public(comment: str | None) -> bool:
    return comment is not None and any(line.strip() == PUBLIC_LINE for line in comment.splitlines())


def _shown(key: Key) -> str:
    return f"{key[0]}.{key[1]}"


def _ways_to_open(relation: Relation) -> str:
    name = f"{_quoted(relation.schema)}.{_quoted(relation.name)}"
    word = "FOREIGN TABLE" if relation.kind == "foreign table" else relation.kind.upper()
    if relation.kind in ("table", "partitioned table"):
        word = "TABLE"
        first = f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; and write policies"
    elif relation.kind == "view":
        first = f"ALTER VIEW {name} SET (security_invoker = on); and protect the tables it reads"
    else:
        first = "put a security_invoker view over a protected table in its place"
    return (
        f"Either protect it: {first}. Or declare it public: COMMENT ON {word} {name} IS '{PUBLIC_LINE}'; "
        f'or public_tables = ["{relation.schema}.{relation.name}"] under [rest] in monohull.toml.'
    )


def _quoted(name: str) -> str:
    if name.isidentifier() and name.isascii() and name == name.lower():
        return name
    return '"' + name.replace('"', '""') + '"'
