"""`manage.py createagent` prints a token that opens the API, once."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from scheduling.agents.models import Agent, AgentToken
from scheduling.agents.scopes import DEFAULT_SCOPES
from scheduling.agents.selectors import authenticate
from scheduling.instants import database_now

pytestmark = pytest.mark.django_db


def createagent(*arguments: str) -> str:
    out = StringIO()
    call_command("createagent", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_the_token_is_all_that_is_written_to_standard_output():
    text = createagent("assistant")

    token = authenticate(text, database_now())
    assert token is not None
    assert (token.agent.name, set(token.agent.scopes)) == ("assistant", set(DEFAULT_SCOPES))


def test_an_agent_that_is_there_gets_one_more_token():
    createagent("assistant")
    createagent("assistant", "--token-name", "laptop", "--expires-in", "P90D")

    assert Agent.objects.count() == 1
    token = AgentToken.objects.get(name="laptop")
    assert token.expires_at is not None
    assert (token.expires_at - database_now()).days in (89, 90)


def test_a_new_agent_may_get_a_minimum_interval():
    createagent("assistant", "--minimum-interval", "PT5M")

    assert Agent.objects.get().minimum_interval == timedelta(minutes=5)
    with pytest.raises(CommandError, match="limits"):
        createagent("assistant", "--minimum-interval", "PT1M")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["a b"], "letters"),
        (["a", "--scopes", "tasks:raed"], "tasks:read"),
        (["a", "--scopes", ""], "at least one scope"),
        (["a", "--expires-in", "soon"], "duration"),
        (["a", "--expires-in", "PT0S"], "."),
        (["a", "--minimum-interval", "often"], "duration"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, word):
    with pytest.raises(CommandError, match=word):
        createagent(*arguments)
    assert not AgentToken.objects.exists()
    assert not Agent.objects.exists()


def test_scopes_narrow_the_token_of_an_agent_that_is_there():
    createagent("assistant")

    token = authenticate(createagent("assistant", "--scopes", "runs:read"), database_now())

    assert token is not None
    assert token.scopes == ["runs:read"]
    assert set(token.agent.scopes) == set(DEFAULT_SCOPES)
