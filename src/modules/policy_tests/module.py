"""The plug of policy_tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.module import Module

if TYPE_CHECKING:
    import click


def cli() -> click.Group:
    """Return ``monohull policy``."""
    from modules.policy_tests.cli import policy  # noqa: PLC0415 start-up time

    return policy


module = Module(name="policy_tests", requires=("rest",), cli={"policy": cli})
"""Its commands join those of other modules under the verb ``policy``."""
