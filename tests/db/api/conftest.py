"""Fixtures of the API's tests."""

import pytest
from django.conf import settings

from scheduling.redis_client import client_of
from tests.db.api.gateway import Gateway, gateway_of


@pytest.fixture(autouse=True)
def empty_buckets():
    """Rate limits live in Redis and would outlive the agents of the test before."""
    client = client_of(settings.ORDINAUT_REDIS_URL)
    client.flushdb()


@pytest.fixture
def api(db: None) -> Gateway:
    """An agent with all the scopes of an assistant."""
    return gateway_of()
