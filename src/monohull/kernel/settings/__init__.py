"""Environment, files and ``monohull.toml`` become frozen Structs, once, in the entry point.

A variable is found in this order: a command's option, ``MONOHULL_NAME``,
``MONOHULL_NAME_FILE`` (the path of a file that holds the value),
``monohull.toml`` (tables are joined by ``_``, so ``[rest] max_rows`` is
``MONOHULL_REST_MAX_ROWS``), the secrets generated in the home, the default.

Every module declares one Struct; its fields are the variables with the
module's prefix. Whatever does not fit stops the start with a line that names
the variable, where its value came from and what is allowed. Nothing else in
the product reads the environment.
"""

from monohull.kernel.settings.conversion import allowed
from monohull.kernel.settings.core import BUILTIN_MODULES, CoreSettings, JwtSettings
from monohull.kernel.settings.declaration import Described, describe, variable_name
from monohull.kernel.settings.faults import SettingsError, SettingsFault
from monohull.kernel.settings.loading import Settings, load_core, load_settings
from monohull.kernel.settings.secret import Secret, weakness
from monohull.kernel.settings.sources import PROJECT_FILE, read_project

__all__ = [
    "BUILTIN_MODULES",
    "PROJECT_FILE",
    "CoreSettings",
    "Described",
    "JwtSettings",
    "Secret",
    "Settings",
    "SettingsError",
    "SettingsFault",
    "allowed",
    "describe",
    "load_core",
    "load_settings",
    "read_project",
    "variable_name",
    "weakness",
]
