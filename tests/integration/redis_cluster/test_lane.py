"""Queues on a cluster, whose workers die and whose nodes are away."""

from tests.integration.queues.test_lane import *  # noqa: F403 tests and fixtures
