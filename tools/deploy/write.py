"""Write what in ``deploy/`` follows from something else: the stack, and the chart's schema, rules and readme.

python -m tools.deploy.write           write the files
python -m tools.deploy.write --check   exit 1 when one of them is not current
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Final, get_type_hints

from monohull.kernel.module import load_modules
from monohull.kernel.settings import BUILTIN_MODULES, CoreSettings, JwtSettings
from monohull.kernel.settings.declaration import fields, variable_name
from tools.deploy import stack, values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from msgspec import Struct

CHART: Final = stack.DEPLOY / "helm" / "monohull"
RULES: Final = stack.DEPLOY / "observability" / "prometheus" / "rules.yml"
PLACE: Final = "<!-- values -->"


def files() -> Mapping[Path, str]:
    """Return the text of every written file."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    made = values.schema(text, secret_settings())
    readme = (CHART / "README.md.in").read_text(encoding="utf-8")
    return {
        stack.TARGET: stack.render(),
        CHART / "values.schema.json": json.dumps(made, indent=2, ensure_ascii=False) + "\n",
        # a chart holds what it installs: rules are written for Prometheus first, by tools.observability
        CHART / "files" / "rules.yml": RULES.read_text(encoding="utf-8"),
        CHART / "README.md": readme.replace(PLACE, values.table(text)),
    }


@cache
def secret_settings() -> tuple[str, ...]:
    """Return the names of all settings that hold a secret, in order."""
    shapes: list[type[Struct]] = [CoreSettings, JwtSettings]
    shapes += [module.settings for module in load_modules(BUILTIN_MODULES) if module.settings is not None]
    names = {
        variable_name(shape, field.name)
        for shape in shapes
        for field in fields(shape)
        if "Secret" in str(get_type_hints(shape)[field.name])
    }
    return tuple(sorted(names))


def outdated(made: Mapping[Path, str]) -> list[Path]:
    """Return the files that are not as they would be written."""
    return [
        path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Write the files, or say which are not current."""
    made = files()
    if "--check" in arguments:
        for path in (found := outdated(made)):
            print(f"{path.relative_to(stack.DEPLOY.parent)} is not current; run `make docs`")
        return int(bool(found))
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
