"""What the comments in the chart's ``values.yaml`` say: its schema and its table.

A comment above a key describes it. A value that is set by itself has one that
begins with ``--``; a group of values may have a plain one. A line ``@schema``
adds what the default's type cannot say:

    # -- When nodes pull it.
    # @schema {"enum": ["IfNotPresent", "Always", "Never"]}
    pullPolicy: IfNotPresent
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KEY: Final = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):(?: |$)")
VALUE_MARK: Final = "-- "
SCHEMA_MARK: Final = "@schema "
TYPES: Final[Mapping[type, str]] = {bool: "boolean", int: "integer", str: "string", list: "array"}

RESOURCES: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Requests and limits of a container.",
    "required": ["requests", "limits"],
    "additionalProperties": False,
    "properties": {
        kind: {
            "type": "object",
            "required": ["cpu", "memory"],
            "additionalProperties": {"type": ["string", "number"]},
        }
        for kind in ("requests", "limits")
    },
}


class Undescribed(Exception):
    """A value has no comment, or one that cannot be read."""


class Entry(Struct, frozen=True, kw_only=True):
    """One key of ``values.yaml``.

    Attributes:
        path: Keys from the top, ``("image", "tag")``.
        text: What it is for.
        is_value: It is set as a whole, whatever is in it.
        extra: What ``@schema`` adds.
    """

    path: tuple[str, ...]
    text: str
    is_value: bool
    extra: Mapping[str, Any]

    @property
    def name(self) -> str:
        return ".".join(self.path)


def entries(text: str) -> Iterator[Entry]:
    """Return every described key of the file, in its order; what is inside of a value is not looked at.

    Raises:
        Undescribed: A key that is set by itself has no sentence.
    """
    path: list[str] = []
    comment: list[str] = []
    inside: int | None = None  # the indentation of a value whose own keys are its business
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().lstrip("#").strip())
            continue
        key = KEY.match(line)
        if not line.strip() or key is None:
            comment = []
            continue
        depth = len(key[1])
        if inside is not None and depth > inside:
            continue
        path = [*path[: depth // 2], key[2]]
        found = _entry(tuple(path), comment, has_value=line[key.end() :].strip() != "")
        inside = depth if found.is_value else None
        comment = []
        yield found


def _entry(path: tuple[str, ...], comment: list[str], *, has_value: bool) -> Entry:
    name = ".".join(path)
    try:
        extra = [
            json.loads(line.removeprefix(SCHEMA_MARK)) for line in comment if line.startswith(SCHEMA_MARK)
        ]
    except json.JSONDecodeError as error:
        raise Undescribed(f"{name}: its @schema is not JSON: {error}") from None
    words = " ".join(line for line in comment if not line.startswith(SCHEMA_MARK))
    is_value = words.startswith(VALUE_MARK)
    if has_value and not is_value:
        raise Undescribed(f"{name}: write `# {VALUE_MARK}…` above it")
    return Entry(
        path=path, text=words.removeprefix(VALUE_MARK), is_value=is_value, extra=extra[0] if extra else {}
    )


def schema(text: str, secret_settings: Sequence[str]) -> dict[str, Any]:
    """Return the JSON schema of ``values.yaml``.

    Args:
        text: The file.
        secret_settings: Names of settings that must come from files.
    """
    defaults = yaml.safe_load(text)
    root: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart monohull",
        "definitions": {
            "resources": RESOURCES,
            "plainSetting": {
                "description": "A setting that is no secret.",
                "pattern": "^MONOHULL_[A-Z0-9_]+$",
                "allOf": [{"not": {"pattern": "_FILE$"}}, {"not": {"enum": list(secret_settings)}}],
            },
        },
        **_group("Values of the chart monohull."),
    }
    # a chart that others build upon hands its values on in it
    root["properties"]["global"] = {"type": "object", "description": "Values of a chart around this one."}
    for entry in entries(text):
        default: Any = defaults
        place = root
        for key in entry.path:
            default = default[key]
        for key in entry.path[:-1]:
            place = place["properties"][key]
        place["properties"][entry.path[-1]] = _node(entry, default)
    return root


def _node(entry: Entry, default: Any) -> dict[str, Any]:
    if not entry.is_value:
        return _group(entry.text)
    node: dict[str, Any] = {"description": entry.text, "default": default}
    if "$ref" in entry.extra:
        # beside a reference draft 7 reads nothing
        return {"description": entry.text, "default": default, "allOf": [dict(entry.extra)]}
    node["type"] = TYPES.get(type(default), "object")
    return {**node, **entry.extra}


def _group(text: str) -> dict[str, Any]:
    return {"type": "object", "description": text, "additionalProperties": False, "properties": {}}


def table(text: str) -> str:
    """Return the Markdown table of all values."""
    defaults = yaml.safe_load(text)
    lines = ["| value | meaning | default |", "| --- | --- | --- |"]
    for entry in entries(text):
        if not entry.is_value:
            continue
        default: Any = defaults
        for key in entry.path:
            default = default[key]
        shown = msgspec.json.encode(default).decode().replace("|", "\\|")
        lines.append(f"| `{entry.name}` | {entry.text} | `{shown}` |")
    return "\n".join(lines)
