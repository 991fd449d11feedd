"""Hooks from settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.hooks.points import Hooks, build_hooks
from modules.auth.settings import AuthSettings
from monohull.kernel.settings import SettingsError, SettingsFault

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def find_hooks(runtime: Runtime) -> Hooks:
    """Return the hooks that the settings name.

    Raises:
        SettingsError: One of them cannot be called.
    """
    settings = runtime.settings
    try:
        return build_hooks(settings.of(AuthSettings), runtime.database, runtime.outbound, runtime.observer)
    except ValueError as error:
        name, _, message = str(error).partition(": ")
        variable = f"MONOHULL_AUTH_{name.upper()}"
        source = settings.sources.get(variable, "default")
        raise SettingsError([SettingsFault(variable, source, message)]) from error
