"""Services of one process, built from its runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.streams.cloudevents import Envelopes
from modules.streams.schemas import Schemas
from modules.streams.sealing import Vault
from modules.streams.services.sinks import Sinks
from modules.streams.services.testing import Testing
from modules.streams.settings import StreamsSettings
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def build_vault(runtime: Runtime) -> Vault:
    """Return what seals targets."""
    return Vault(jwt_secret(runtime.settings))


def build_schemas(runtime: Runtime) -> Schemas:
    """Return what describes events."""
    return Schemas(runtime.events, runtime.settings.core.public_url)


def build_envelopes(runtime: Runtime) -> Envelopes:
    """Return what makes messages of events."""
    source = runtime.settings.of(StreamsSettings).source or runtime.settings.core.public_url
    return Envelopes(source, build_schemas(runtime).base)


def build_sinks(runtime: Runtime) -> Sinks:
    """Return what makes and changes sinks."""
    return Sinks(runtime.database, build_vault(runtime), runtime.settings.of(StreamsSettings))


def build_testing(runtime: Runtime) -> Testing:
    """Return what tries sinks out."""
    return Testing(runtime.database, build_sinks(runtime), build_envelopes(runtime))
