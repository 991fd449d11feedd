"""Sources, declarations and checks together: the settings of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import msgspec
from msgspec import Struct

from monohull.kernel.settings.checks import contradictions, families, unknown
from monohull.kernel.settings.conversion import convert, explain
from monohull.kernel.settings.core import CoreSettings, JwtSettings
from monohull.kernel.settings.declaration import check_declarations, fields, variable_name
from monohull.kernel.settings.faults import SettingsError, SettingsFault, Value
from monohull.kernel.settings.names import under_own_names, without_effect
from monohull.kernel.settings.sources import collect, read_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

S = TypeVar("S", bound=Struct)


class Settings(Struct, frozen=True):
    """All Structs of one process, and where each value came from.

    Attributes:
        free: Values of the families that Structs name in ``open_prefixes``, by the full name of the variable.
        idle: Names that were set, are known and have no effect here.
    """

    core: CoreSettings
    jwt: JwtSettings
    structs: Mapping[type[Struct], Struct]
    sources: Mapping[str, str]
    project: Path
    free: Mapping[str, str] = {}
    idle: tuple[str, ...] = ()

    def of(self, shape: type[S]) -> S:
        """Return the Struct of class ``shape``.

        Raises:
            LookupError: No loaded module declares ``shape``.
        """
        try:
            found = self.structs[shape]
        except KeyError:
            raise LookupError(f"no loaded module declares the settings {shape.__name__}") from None
        assert isinstance(found, shape)
        return found

    @property
    def home(self) -> Path:
        """The home as an absolute path; a relative one is relative to the project."""
        return self.core.home if self.core.home.is_absolute() else self.project / self.core.home


def load_settings(
    shapes: Callable[[CoreSettings], Iterable[type[Struct]]],
    *,
    environ: Mapping[str, str],
    project: Path,
    options: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check every setting.

    Args:
        shapes: Given the core settings, the Structs of the modules it names.
        environ: The process' environment.
        project: Folder of ``monohull.toml``.
        options: Command options by setting name, ``{"home": "/data"}``.

    Raises:
        SettingsError: With a line for every fault.
    """
    document = read_project(project)
    values, faults = _given(environ, document, options or {})
    core, core_faults = decode(CoreSettings, values)
    if core is None:
        raise SettingsError([*faults, *core_faults])
    jwt, jwt_faults = decode(JwtSettings, values)
    faults += jwt_faults
    structs: dict[type[Struct], Struct] = {CoreSettings: core}
    if jwt is not None:
        structs[JwtSettings] = jwt
    module_shapes = list(shapes(core))
    check_declarations([CoreSettings, JwtSettings, *module_shapes])
    for shape in module_shapes:
        found, found_faults = decode(shape, values)
        faults += found_faults
        if found is not None:
            structs[shape] = found
    faults += unknown([CoreSettings, JwtSettings, *module_shapes], values)
    faults += contradictions(core, values)
    if faults or jwt is None:
        raise SettingsError(faults)
    sources = {name: value.source for name, value in values.items()}
    free = families(module_shapes)
    kept = {name: str(value.raw) for name, value in values.items() if free and name.startswith(free)}
    idle = tuple(sorted(without_effect(module_shapes).intersection(values)))
    return Settings(core, jwt, structs, sources, project, kept, idle)


def _given(
    environ: Mapping[str, str], document: Mapping[str, Any], options: Mapping[str, str]
) -> tuple[dict[str, Value], list[SettingsFault]]:
    values, faults = collect(environ, document, options)
    values, twice = under_own_names((CoreSettings, JwtSettings), values)
    return values, [*faults, *twice]


def load_core(
    *, environ: Mapping[str, str], project: Path, options: Mapping[str, str] | None = None
) -> Settings:
    """Read only what the kernel needs, for processes that load no module.

    Unknown names are not looked for: they may be settings of a module. The
    processes that load the modules say so.

    Raises:
        SettingsError: A setting of the kernel does not fit.
    """
    values, faults = _given(environ, read_project(project), options or {})
    core, core_faults = decode(CoreSettings, values)
    jwt, jwt_faults = decode(JwtSettings, values)
    faults += [*core_faults, *jwt_faults, *(contradictions(core, values) if core is not None else ())]
    if core is None or jwt is None or faults:
        raise SettingsError(faults)
    sources = {name: value.source for name, value in values.items()}
    return Settings(core, jwt, {CoreSettings: core, JwtSettings: jwt}, sources, project)


def decode(shape: type[S], values: Mapping[str, Value]) -> tuple[S | None, list[SettingsFault]]:
    """Build ``shape`` from ``values``, or say for each field what is wrong with it."""
    hints = get_type_hints(shape, include_extras=True)
    found: dict[str, Any] = {}
    faults: list[SettingsFault] = []
    for field in fields(shape):
        name = variable_name(shape, field.name)
        hint = hints[field.name]
        if (value := values.get(name)) is None:
            if field.required:
                faults.append(SettingsFault(name, "unset", "it has no default and must be set"))
            continue
        try:
            found[field.name] = convert(value.raw, hint)
        except msgspec.ValidationError:
            faults.append(SettingsFault(name, value.source, explain(value.raw, hint)))
    return (None, faults) if faults else (shape(**found), [])
