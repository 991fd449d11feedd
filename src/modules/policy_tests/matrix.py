"""`Matrix`: who may do what with whose rows, and the file that is kept of it.

One line of the file is one row of one table as one caller meets it, so that a change of
a policy shows in a review as the lines whose meaning it changed.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.policy_tests.errors import BadDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT: Final = 1
ALLOW: Final = "allow"
HIDDEN: Final = "hidden"
REFUSED: Final = "refused"
NO_GRANT: Final = "no grant"
BLIND: Final = "blind"

COMMANDS: Final = ("select", "insert", "update", "delete", "give", "take")
HEAD: Final = """\
# Who may do what with whose rows. `monohull policy matrix` writes this file and
# `monohull policy test` fails when the database answers otherwise; keep it in git.
#
# Lines are rows: the caller's own, a colleague's (same tenant), a stranger's (another tenant).
# give: hand the own row over to that person; take: make that person's row one's own.
# allow    it is done
# hidden   the row does not exist for the caller
# refused  row security refuses what was to be written
# no grant the role lacks the right on the table or one of its columns
# blind    the row is hidden, and a request without a filter writes or deletes it all the same
"""

Cells = dict[str, str]
"""Outcome by command."""


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One table.

    Attributes:
        row_security: ``off``, ``on`` or ``forced``.
        whose: The columns that say whose a row is.
        left_out: Why there are no cells.
        grants: By database role, as text.
        policies: By name, as text; for telling what changed, never compared alone.
        cells: Caller → row → command → outcome.
    """

    row_security: str
    whose: tuple[str, ...] = ()
    left_out: str | None = None
    grants: dict[str, str] = {}
    policies: dict[str, str] = {}
    cells: dict[str, dict[str, Cells]] = {}


class CallerLine(Struct, frozen=True, omit_defaults=True):
    """How a caller came into being."""

    role: str
    claims: dict[str, Any] = {}
    bypasses_row_security: bool = False


class Matrix(Struct, frozen=True, kw_only=True):
    """All of it."""

    format: int = FORMAT
    callers: dict[str, CallerLine]
    tables: dict[str, Entry] = {}

    @property
    def count(self) -> int:
        """How many cells there are."""
        return sum(
            len(cells) for t in self.tables.values() for rows in t.cells.values() for cells in rows.values()
        )


def as_json(matrix: Matrix) -> str:
    """Write the matrix as JSON, in the order of the TOML file."""
    return json.dumps(msgspec.to_builtins(matrix), indent=2, ensure_ascii=False) + "\n"


def as_toml(matrix: Matrix) -> str:
    """Write the matrix as TOML with aligned lines."""
    parts = [HEAD, f"format = {matrix.format}\n"]
    for name, caller in matrix.callers.items():
        lines = [f"[callers.{_key(name)}]", f"role = {_text(caller.role)}"]
        lines += [f"claims = {_inline(caller.claims)}"] if caller.claims else []
        lines += ["bypasses_row_security = true"] if caller.bypasses_row_security else []
        parts.append("\n".join(lines) + "\n")
    for title, entry in matrix.tables.items():
        parts.append(_table(title, entry))
    return "\n".join(parts)


def _table(title: str, entry: Entry) -> str:
    head = f"tables.{_key(title)}"
    lines = [f"[{head}]", f"row_security = {_text(entry.row_security)}"]
    lines += [f"whose = [{', '.join(map(_text, entry.whose))}]"] if entry.whose else []
    lines += [f"left_out = {_text(entry.left_out)}"] if entry.left_out is not None else []
    for name, texts in (("grants", entry.grants), ("policies", entry.policies)):
        if texts:
            lines += ["", f"[{head}.{name}]"]
            lines += [f"{_key(key)} = {_text(text)}" for key, text in texts.items()]
    for caller, rows in entry.cells.items():
        lines += ["", f"[{head}.cells.{_key(caller)}]"]
        width = max(len(_key(row)) for row in rows)
        lines += [f"{_key(row):<{width}} = {_inline(cells)}" for row, cells in rows.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare else _text(name)


def _text(value: str) -> str:
    """TOML's basic strings are JSON's, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_inline(held)}" for name, held in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def write(matrix: Matrix, path: Path) -> str:
    """Return the text for a file called ``path``: JSON when it is called so, TOML otherwise."""
    return as_json(matrix) if path.suffix == ".json" else as_toml(matrix)


def read(path: Path) -> Matrix:
    """Read a matrix file.

    Raises:
        BadDeclaration: There is none, or it is not one of ours.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise BadDeclaration(
            f"cannot read {path}: {reason}; `monohull policy matrix` writes the file"
        ) from error
    try:
        document: Mapping[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        found = msgspec.convert(document, Matrix)
    except (ValueError, msgspec.ValidationError) as error:
        raise BadDeclaration(f"{path} is no matrix of policies: {error}") from error
    if found.format != FORMAT:
        raise BadDeclaration(f"{path} has format {found.format}, this version writes {FORMAT}; write it anew")
    return found
