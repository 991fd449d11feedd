"""The application over a database of its own; see `tests.integration.conftest`."""

from __future__ import annotations

from tests.integration.conftest import (  # noqa: F401  fixtures are found by name
    connections,
    platform_database,
    redis_url,
    template_database,
)
