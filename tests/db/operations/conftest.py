"""What the tests of the operations share: an actor, an agent and a judge of pipelines that knows no tools."""

import pytest

from scheduling.agents.models import Agent
from scheduling.audit.operations import Actor
from tests.factories import AgentFactory


@pytest.fixture(autouse=True)
def simple_judge(settings):
    settings.ORDINAUT_PIPELINE_PORT = "tests.db.operations.judge.Judge"


@pytest.fixture
def actor() -> Actor:
    return Actor.system("tests")


@pytest.fixture
def agent(db: None) -> Agent:
    return AgentFactory()
