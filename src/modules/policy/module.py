"""The plug of `modules.policy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.policy.denials import Denials
from modules.policy.events import PolicyExplained
from modules.policy.permissions import READ_EXPLANATIONS
from modules.policy.services import Explanations
from modules.rest import data_service
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    import click

    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what policy contributes to one process."""
    from modules.policy.controllers import PolicyController  # noqa: PLC0415 the API alone serves them

    api = data_service(runtime).api
    explanations = Explanations(runtime, api)
    is_development = runtime.settings.core.env == "development"
    api.explain_by(Denials(explanations, runtime.observer, is_development=is_development))
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=[PolicyController]),),
        dependencies={"explanations": lambda: explanations},
    )


def cli() -> click.Group:
    """Return ``monohull policy``."""
    from modules.policy.cli import policy  # noqa: PLC0415 start-up time

    return policy


module = Module(
    name="policy",
    requires=("query", "rest", "auth", "api_keys", "rbac"),
    permissions=(READ_EXPLANATIONS,),
    events=(PolicyExplained,),
    cli={"policy": cli},
    parts=parts,
)
