"""Services of one process, built from its runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.ingest.jobs import application_jobs
from modules.ingest.sealing import Vault
from modules.ingest.services import Sources
from modules.ingest.settings import IngestSettings
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


def build_vault(runtime: Runtime) -> Vault:
    """Return what seals origins."""
    return Vault(jwt_secret(runtime.settings))


def build_sources(runtime: Runtime) -> Sources:
    """Return what makes, changes and pauses sources."""
    own = runtime.settings.of(IngestSettings)
    return Sources(runtime.database, build_vault(runtime), own, application_jobs(runtime))
