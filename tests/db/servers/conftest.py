"""A catalog of each test's own: what a process knows of tool servers outlives its tests otherwise."""

from collections.abc import Iterator

import pytest

from pipelines.servers.offers import forget, host_catalog


@pytest.fixture(autouse=True)
def fresh_catalog() -> Iterator[None]:
    host_catalog.cache_clear()
    forget()
    yield
    host_catalog.cache_clear()
    forget()
