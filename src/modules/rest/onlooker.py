"""`Onlooker`: who asks what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from modules.query import Compiler
    from modules.rest.config import Config
    from modules.rest.scopes import Scopes
    from monohull.kernel.principal import Principal


class Onlooker(Struct, frozen=True):
    """Who asks what there is, and what is in force.

    Attributes:
        principal: Who.
        is_anonymous: Nobody in particular.
        compiler: Of the catalog.
        scopes: Decide for limited keys.
        config: The data API's.
        address: Where clients reach it.
    """

    principal: Principal
    is_anonymous: bool
    compiler: Compiler
    scopes: Scopes
    config: Config
    address: str
