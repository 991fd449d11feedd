"""SAQ's page of queues that are on a cluster."""

from tests.integration.jobs.test_saq_page import *  # noqa: F403 tests and fixtures
