"""Write ``deploy/observability`` from the catalogue of metrics.

python -m tools.observability           write alert rules, their tests and dashboards
python -m tools.observability --check   exit 1 when one of them is not current
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from tools.observability.alerts import ALERTS, rules, stories
from tools.observability.dashboards import DASHBOARDS, dashboard

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "observability"
NOTE: Final = "# Written by `make docs` from tools/observability; change it there.\n"


def files() -> Mapping[str, str]:
    """Return the text of every file by its path below `FOLDER`."""
    found = {"prometheus/rules.yml": _yaml(rules())}
    found |= {f"prometheus/tests/{alert.name}.yml": _yaml(stories(alert)) for alert in ALERTS}
    found |= {f"grafana/{name}.json": json.dumps(dashboard(name), indent=2) + "\n" for name in DASHBOARDS}
    return found


class _Indented(yaml.SafeDumper):
    """With lists further in than what they belong to, as the linter of the rest wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 PyYAML's signature
        super().increase_indent(flow, False)


def _yaml(document: object) -> str:
    return NOTE + yaml.dump(document, Dumper=_Indented, sort_keys=False, width=110)


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the paths of files that are not what the code says, or that it no longer writes."""
    wanted = files()
    there = {
        path.relative_to(folder).as_posix()
        for pattern in ("prometheus/rules.yml", "prometheus/tests/*.yml", "grafana/*.json")
        for path in folder.glob(pattern)
    }
    wrong = [
        name
        for name, text in wanted.items()
        if name not in there or (folder / name).read_text("utf-8") != text
    ]
    return wrong + sorted(there - set(wanted))


def main(arguments: list[str]) -> int:
    """Write or check the files and return the exit code."""
    wrong = stale()
    if "--check" in arguments:
        for name in wrong:
            print(f"deploy/observability/{name} is not current; run `make docs`")
        return int(bool(wrong))
    wanted = files()
    for name in wrong:
        path = FOLDER / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
        print(f"deploy/observability/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
