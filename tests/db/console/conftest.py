"""Clients of the console, one for each role."""

from collections.abc import Callable

import pytest
from django.core.cache import cache
from django.test import Client

from scheduling.agents.roles import Role, assign
from tests.factories import OperatorFactory


@pytest.fixture
def client_of(db: None) -> Callable[[Role | None], Client]:
    """A logged-in client with this role; None: one whom nobody has given a role."""

    def make(role: Role | None) -> Client:
        operator = OperatorFactory()
        if role is not None:
            assign(operator, role)
        client = Client()
        client.force_login(operator)
        return client

    return make


@pytest.fixture
def viewer(client_of: Callable[[Role | None], Client]) -> Client:
    return client_of(Role.VIEWER)


@pytest.fixture
def operator(client_of: Callable[[Role | None], Client]) -> Client:
    return client_of(Role.OPERATOR)


@pytest.fixture
def author(client_of: Callable[[Role | None], Client]) -> Client:
    return client_of(Role.AUTHOR)


@pytest.fixture
def admin(client_of: Callable[[Role | None], Client]) -> Client:
    return client_of(Role.ADMIN)


@pytest.fixture(autouse=True)
def _fresh_history() -> None:
    """The dashboard keeps its figures for some seconds; every test counts anew."""
    cache.clear()
