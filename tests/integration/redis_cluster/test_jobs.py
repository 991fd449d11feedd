"""Jobs on a cluster: what `tests.integration.queues` looks at, and on more than one node."""

from tests.integration.queues.test_jobs import *  # noqa: F403 tests and fixtures
