"""From an environment to settings and modules: the same few lines for every entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from monohull.kernel.hardening import refusals
from monohull.kernel.heap import frameworks_loaded
from monohull.kernel.module import Module, load_modules
from monohull.kernel.settings import BUILTIN_MODULES, CoreSettings, Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


class Configuration(Struct, frozen=True):
    """What an entry point starts from."""

    settings: Settings
    modules: tuple[Module, ...]


def load(
    environ: Mapping[str, str],
    *,
    project: Path,
    options: Mapping[str, str] | None = None,
    builtin: Sequence[str] = BUILTIN_MODULES,
) -> Configuration:
    """Read the settings and load the modules they name.

    Raises:
        SettingsError: A setting is unknown, does not fit, or is too weak for production.
        ModuleError: The modules do not fit together.
    """
    loaded: tuple[Module, ...] = ()

    def shapes(core: CoreSettings) -> Iterable[type[Struct]]:
        nonlocal loaded
        load_modules(builtin)  # alone first: a project's own modules may import what ours do without
        frameworks_loaded()
        loaded = load_modules([*builtin, *core.modules])
        return [module.settings for module in loaded if module.settings is not None]

    settings = load_settings(shapes, environ=environ, project=project, options=options)
    if settings.core.is_production and (faults := refusals(settings, loaded)):
        raise SettingsError(faults)
    return Configuration(settings, loaded)
