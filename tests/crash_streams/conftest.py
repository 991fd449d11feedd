"""Worker processes to kill, and a Redis of our own."""

from __future__ import annotations

from tests.crash_jobs.conftest import connections, fleet, redis
from tests.integration.conftest import platform_database, template_database

__all__ = ["connections", "fleet", "platform_database", "redis", "template_database"]
