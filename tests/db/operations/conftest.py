"""What the tests of the operations share: an actor and a judge of pipelines that knows no tools."""

import pytest

from scheduling.audit.operations import Actor


@pytest.fixture
def actor() -> Actor:
    return Actor.system("tests")
