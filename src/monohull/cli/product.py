"""Loading the product into a process that is forked afterwards, so that its forks share it in memory."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from monohull.kernel.module import load_modules
from monohull.kernel.settings import BUILTIN_MODULES

API: Final = ("monohull.asgi",)
EVERYTHING: Final = (*API, "monohull.worker", "monohull.cli.serve", "monohull.cli.worker")
"""The programs that are forked; each loads what it needs of the rest."""


def load_product(programs: tuple[str, ...]) -> None:
    """Import ``programs`` and the built-in modules; a project's own are left to the forks."""
    for name in programs:
        import_module(name)
    load_modules(BUILTIN_MODULES)
