"""PostgreSQL and Redis out of wheels, for one machine and for tests; unused when their URLs are set."""

from monohull.kernel.embedded.account import discard
from monohull.kernel.embedded.postgres import EmbeddedPostgres, new_password
from monohull.kernel.embedded.redis import EmbeddedRedis

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "discard", "new_password"]
