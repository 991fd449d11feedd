"""Write ``docs/reference`` from the classes that the product runs with.

    python -m tools.generate_reference           write the files
    python -m tools.generate_reference --check   exit 1 when one of them is not current

A setting, error, event, permission or command that has no description is
refused here, so that the reference cannot have holes.
"""

from __future__ import annotations

import pkgutil
import sys
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, get_origin

import click
import msgspec

import modules as product_modules
import monohull
from monohull.cli import main as command
from monohull.kernel.core_metrics import CORE_METRICS
from monohull.kernel.errors import Problem, problem_classes
from monohull.kernel.module import load_modules
from monohull.kernel.observation import Observation
from monohull.kernel.rows import ROW_EVENTS
from monohull.kernel.settings import BUILTIN_MODULES, CoreSettings, Described, JwtSettings, describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from monohull.kernel.events import Event
    from monohull.kernel.module import Module

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference"
NOTE: Final = "<!-- Written by `make docs` from the code; change it there. -->"


class Undocumented(Exception):
    """Something the product has lacks its sentence."""


def pages(modules: Iterable[Module]) -> Mapping[str, str]:
    """Return the text of every generated page by its file name."""
    modules = tuple(modules)
    import_everything()
    return {
        "settings.md": settings_page(modules),
        "errors.md": errors_page(),
        "events.md": events_page(modules),
        "log.md": log_page(),
        "metrics.md": metrics_page(modules),
        "permissions.md": permissions_page(modules),
        "cli.md": cli_page(),
    }


def import_everything() -> None:
    """Import the whole product: what the pages list must not depend on who was imported before."""
    for package in (monohull, product_modules):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                import_module(found.name)


def settings_page(modules: Iterable[Module]) -> str:
    """Every variable with its meaning, what it takes and its default."""
    parts = [
        "# Settings",
        NOTE,
        (
            "A value is looked for in this order: the command's option, the environment variable, the file "
            "that `NAME_FILE` points to, `monohull.toml` (tables are joined by `_`, so `[rest] max_rows` is "
            "`MONOHULL_REST_MAX_ROWS`), the default. An unknown name stops the start."
        ),
    ]
    shapes: list[tuple[str, type[msgspec.Struct]]] = [("Core", CoreSettings), ("Tokens", JwtSettings)]
    shapes += [
        (f"Module {module.name}", module.settings) for module in modules if module.settings is not None
    ]
    for title, shape in shapes:
        rows = [(f"`{row.variable}`", meaning(row), row.takes, default(row)) for row in describe(shape)]
        parts += [f"## {title}", table(("variable", "meaning", "takes", "default"), rows)]
    return page(parts)


def meaning(row: Described) -> str:
    """Return what a variable means.

    Raises:
        Undocumented: Nobody said it.
    """
    if not row.description:
        raise Undocumented(f"{row.variable} has no Meta(description=…)")
    return row.description


def default(row: Described) -> str:
    """Write a default as one would set it."""
    return "unset" if row.default is None else f"`{row.default}`"


def errors_page() -> str:
    """Every refusal by the room that makes it."""
    rooms: dict[str, set[tuple[str, str, str, str]]] = defaultdict(set)
    for problem in problem_classes():
        row = (
            f"`{problem.code}`",
            str(getattr(problem, "status", "varies")),
            sentence(problem),
            _hint(problem),
        )
        rooms[_room(problem.__module__)].add(row)
    parts = [
        "# Errors",
        NOTE,
        (
            "Codes are stable. The platform API answers `application/problem+json` (RFC 9457); others "
            "write the same refusal as the clients of that wire expect it."
        ),
    ]
    for room, rows in sorted(rooms.items()):
        parts += [f"## {room}", table(("code", "status", "when", "what to do"), sorted(rows))]
    return page(parts)


def _hint(problem: type[Problem]) -> str:
    hint = vars(problem).get("hint")
    return hint if isinstance(hint, str) else ""


def events_page(modules: Iterable[Module]) -> str:
    """Every event a module publishes, with its payload."""
    parts = [
        "# Events",
        NOTE,
        (
            "An event is written to the outbox in the transaction that caused it and told to subscribers at "
            "least once, in the order of commits."
        ),
    ]
    events: list[type[Event]] = [*ROW_EVENTS, *(event for module in modules for event in module.events)]
    for event in events:
        fields = [(f"`{f.name}`", f"`{type_name(f.type)}`") for f in msgspec.structs.fields(event)]
        parts += [
            f"## `{event.name}`, version {event.version}",
            sentence(event),
            table(("field", "type"), fields) if fields else "It has no payload.",
        ]
    return page(parts)


def log_page() -> str:
    """Every line the log can have."""
    rows = [
        (
            f"`{shape.event}`",
            shape.level,
            ", ".join(f"`{f.name}`" for f in msgspec.structs.fields(shape)),
            sentence(shape),
        )
        for shape in sorted(subclasses(Observation), key=lambda shape: shape.event)
    ]
    intro = "One line is one observation: when, how severe, which event, and the fields of that event."
    return page(["# Log", NOTE, intro, table(("event", "level", "fields", "when"), rows)])


def metrics_page(modules: Iterable[Module]) -> str:
    """Every metric by the room that declares it."""
    rooms = [("Kernel", CORE_METRICS), *((f"Module {module.name}", module.metrics) for module in modules)]
    intro = (
        "`/metrics` gives these numbers in Prometheus' text format, of all processes that share a port. "
        "Dashboards and alert rules for them are in `deploy/observability`. The label `process` is `api` or "
        "`worker`; a gauge of each process has its number (`pid`) beside it where several share a port. What "
        "cannot be read at the moment is left out."
    )
    parts = ["# Metrics", NOTE, intro]
    for title, metrics in rooms:
        rows = [
            (f"`{m.name}`", m.kind, m.unit, ", ".join(f"`{label}`" for label in m.labels), m.meaning)
            for m in metrics
        ]
        if rows:
            parts += [f"## {title}", table(("metric", "kind", "unit", "labels", "meaning"), rows)]
    return page(parts)


def permissions_page(modules: Iterable[Module]) -> str:
    """Every permission a guard may ask for."""
    found = sorted((p for module in modules for p in module.permissions), key=lambda p: p.name)
    for permission in found:
        if not permission.summary:
            raise Undocumented(f"the permission {permission.name} has no summary")
    rows = [(f"`{permission.name}`", permission.summary) for permission in found]
    intro = "A principal holds names, or patterns: `area.thing:*`, `area.*`, `*`."
    parts = ["# Permissions", NOTE, intro, table(("permission", "allows"), rows)]
    families = {family.area: family for module in modules for family in module.families}
    for family in families.values():
        forms = [(f"`{form}`", summary) for form, summary in family.forms]
        about = f"What there is decides which permissions begin with `{family.area}.`:"
        parts += [about, table(("permission", "allows"), forms)]
    return page(parts)


def cli_page() -> str:
    """Every command with its options."""
    parts = [
        "# Commands",
        NOTE,
        (
            "Exit codes: 0 done, 1 the thing checked does not hold, 2 wrong usage or configuration, "
            "3 a dependency is not reachable, 130 interrupted."
        ),
    ]
    for path, verb in commands(command, "monohull"):
        if not verb.help:
            raise Undocumented(f"{path} has no help text")
        rows = [
            (f"`{usage(option)}`", option.help or "")
            for option in verb.params
            if isinstance(option, click.Option)
        ]
        arguments = " ".join(
            a.make_metavar(click.Context(verb)) for a in verb.params if isinstance(a, click.Argument)
        )
        parts += [f"## `{f'{path} {arguments}'.strip()}`", paragraphs(verb.help)]
        if rows:
            parts.append(table(("option", "meaning"), rows))
    return page(parts)


def commands(group: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Walk the command tree, groups before what they hold."""
    if not isinstance(group, click.Group):
        yield path, group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        verb = group.get_command(context, name)
        if verb is None:
            raise Undocumented(f"{path} lists {name} and does not have it")
        yield from commands(verb, f"{path} {name}")


def usage(option: click.Option) -> str:
    """Write an option as one types it."""
    names = " / ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag else f"{names} {option.make_metavar(click.Context(click.Command('x')))}"


def paragraphs(text: str) -> str:
    """Join the lines of each paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).replace("``", "`")


def sentence(shape: type) -> str:
    """Return the first paragraph of a class's own docstring, on one line.

    Raises:
        Undocumented: It has none.
    """
    text = vars(shape).get("__doc__")
    if not text:
        raise Undocumented(f"{shape.__module__}.{shape.__qualname__} has no docstring")
    return " ".join(text.strip().split("\n\n")[0].split()).replace("``", "`")


def subclasses(base: type[Observation]) -> Iterator[type[Observation]]:
    """Walk every subclass of ``base`` that has an event name and belongs to the product."""
    for child in base.__subclasses__():
        if "event" in vars(child) and child.__module__.startswith(("monohull.", "modules.")):
            yield child
        yield from subclasses(child)


def type_name(hint: Any) -> str:
    """Write a type as people say it."""
    if get_origin(hint) is ClassVar:
        return type_name(hint.__args__[0])
    return (
        hint.__name__
        if isinstance(hint, type) and get_origin(hint) is None
        else str(hint).replace("typing.", "")
    )


def _room(module: str) -> str:
    return module.split(".")[1].replace("_", " ")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(parts: Iterable[str]) -> str:
    """Join the parts of a page."""
    return "\n\n".join(parts) + "\n"


def outdated(current: Mapping[str, str], folder: Path) -> list[str]:
    """Return the names of the pages that are not what the code says."""
    return [name for name, text in current.items() if not _same(folder / name, text)]


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(arguments: list[str]) -> int:
    """Write or check the pages and return the exit code."""
    current = pages(load_modules(BUILTIN_MODULES))
    stale = outdated(current, FOLDER)
    if "--check" in arguments:
        for name in stale:
            print(f"docs/reference/{name} is not current; run `make docs`")
        return int(bool(stale))
    for name in stale:
        (FOLDER / name).write_text(current[name], encoding="utf-8")
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
