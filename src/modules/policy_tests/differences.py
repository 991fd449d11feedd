"""What changed between two matrices, and which policy, grant or switch it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.policy_tests.matrix import NO_GRANT, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modules.policy_tests.matrix import Matrix

ABSENT: Final = "no cell"
EMPTY: Final = Entry(row_security="off")


class Difference(Struct, frozen=True):
    """One line of the report.

    Attributes:
        table: ``schema.name``; empty for the list of callers.
        what: Caller, row and command of a cell; or what else differs.
        before: In the file.
        now: In the database.
        causes: What changed of the table's policies, grants and row security.
    """

    table: str
    what: str
    before: str
    now: str
    causes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        head = f"{self.table}: {self.what}" if self.table else self.what
        lines = [f"{head}: {self.before} → {self.now}"]
        return "\n".join([*lines, *(f"    {cause}" for cause in self.causes)])


def compare(before: Matrix, now: Matrix) -> list[Difference]:
    """Return every difference: cells, then switches and grants, then policies that are new or gone.

    The texts of policies are never compared alone, for majors of PostgreSQL print one
    policy differently.
    """
    found = list(_callers(before, now))
    for title in sorted(before.tables.keys() | now.tables.keys()):
        old, new = before.tables.get(title), now.tables.get(title)
        if old is None or new is None:
            words = ("not in the file", "in the database") if old is None else ("in the file", "gone")
            found.append(Difference(title, "the table", *words))
            continue
        cells = list(_cells(title, old, new, _elsewhere(title, before, now)))
        found += cells
        found += _facts(title, old, new)
        if not cells:
            found += _silent(title, old, new)
    return found


def cells_that_differ(before: Matrix, now: Matrix) -> list[Difference]:
    """Return the cells alone that differ."""
    return [
        difference
        for title in before.tables.keys() & now.tables.keys()
        for difference in _cells(title, before.tables[title], now.tables[title], ())
    ]


def _callers(before: Matrix, now: Matrix) -> Iterator[Difference]:
    for name in sorted(before.callers.keys() | now.callers.keys()):
        old, new = before.callers.get(name), now.callers.get(name)
        if old != new:
            yield Difference("", f"caller {name}", _shown(old), _shown(new))


def _shown(caller: object) -> str:
    return "none" if caller is None else str(caller)


def _cells(title: str, old: Entry, new: Entry, elsewhere: tuple[str, ...]) -> Iterator[Difference]:
    before, now = dict(_flat(old)), dict(_flat(new))
    for cell in dict.fromkeys([*before, *now]):
        was, answer = before.get(cell, ABSENT), now.get(cell, ABSENT)
        if was != answer:
            causes = _causes(old, new, cell, was, answer) or elsewhere or (UNKNOWN,)
            yield Difference(title, " · ".join(cell), was, answer, causes)


UNKNOWN: Final = "no policy or grant of this table changed; look at the functions and rows its policies read"


def _flat(entry: Entry) -> Iterator[tuple[tuple[str, str, str], str]]:
    for caller, rows in entry.cells.items():
        for row, cells in rows.items():
            for command, outcome in cells.items():
                yield (caller, row, command), outcome


def _causes(old: Entry, new: Entry, cell: tuple[str, str, str], was: str, answer: str) -> tuple[str, ...]:
    """Name what changed of the table: grants first where a grant was or is missing."""
    grants = [
        f"grants of {role}: {old.grants.get(role) or 'none'} → {new.grants.get(role) or 'none'}"
        for role in sorted(old.grants.keys() | new.grants.keys())
        if old.grants.get(role) != new.grants.get(role)
    ]
    policies = list(_policy_changes(old, new, cell[2]))
    if old.row_security != new.row_security:
        policies.insert(0, f"row security: {old.row_security} → {new.row_security}")
    if grants and NO_GRANT in (was, answer):
        return tuple(grants)
    return tuple(policies or grants)


def _policy_changes(old: Entry, new: Entry, command: str) -> Iterator[str]:
    """Those that may matter for ``command`` if there are any, else all that changed."""
    changed = {
        name: (old.policies.get(name), new.policies.get(name))
        for name in sorted(old.policies.keys() | new.policies.keys())
        if old.policies.get(name) != new.policies.get(name)
    }
    fitting = {name: texts for name, texts in changed.items() if _concerns(texts, command)}
    for name, (was, now) in (fitting or changed).items():
        if was is None:
            yield f'policy "{name}" is new: {now}'
        elif now is None:
            yield f'policy "{name}" is gone: {was}'
        else:
            yield f'policy "{name}" changed: {was} → {now}'


def _concerns(texts: tuple[str | None, str | None], command: str) -> bool:
    """An UPDATE or DELETE that finds its row by a column asks the SELECT policies too."""
    commands = {"give": "update", "take": "update"}
    wanted = {commands.get(command, command), "all"} | ({"select"} if command != "insert" else set())
    return any((text or "").removeprefix("restrictive ").partition(" ")[0] in wanted for text in texts)


def _elsewhere(title: str, before: Matrix, now: Matrix) -> tuple[str, ...]:
    found = []
    for other in sorted(before.tables.keys() & now.tables.keys() - {title}):
        old, new = before.tables[other], now.tables[other]
        changes = [] if old.policies == new.policies else list(_policy_changes(old, new, "select"))
        if old.row_security != new.row_security:
            changes.append(f"row security: {old.row_security} → {new.row_security}")
        found += [f"of {other}: {change}" for change in changes]
    return tuple(found)


def _facts(title: str, old: Entry, new: Entry) -> Iterator[Difference]:
    if old.row_security != new.row_security:
        yield Difference(title, "row security", old.row_security, new.row_security)
    for role in sorted(old.grants.keys() | new.grants.keys()):
        was, now = old.grants.get(role), new.grants.get(role)
        if was != now:
            yield Difference(title, f"grants of {role}", was or "none", now or "none")
    if old.left_out != new.left_out:
        yield Difference(title, "left out", old.left_out or "no", new.left_out or "no")


def _silent(title: str, old: Entry, new: Entry) -> Iterator[Difference]:
    """Policies that came or went without any cell noticing."""
    for name in sorted(old.policies.keys() ^ new.policies.keys()):
        was, now = ("not in the file", "new") if name in new.policies else ("in the file", "gone")
        yield Difference(title, f'policy "{name}" (no cell changed)', was, now)
