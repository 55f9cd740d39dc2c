"""Migrate and load what is missing: `python -m ordinaut_project.embedded.seed STATE_DIR --weather-url URL`.

A process of its own, because the addresses must be in the environment before Django reads its settings. Running it
again changes nothing that is there already: log-in, token and tasks are made once and kept.
"""

import argparse
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from ordinaut_project.embedded.seeding import Seeded, write_seeded
from ordinaut_project.embedded.state import Credentials, State

if TYPE_CHECKING:
    from scheduling.agents.models import Agent
    from scheduling.tasks.models import Task

USERNAME = "operator"
AGENT = "assistant"
_PASSWORD_BYTES = 15


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--weather-url", required=True)
    parser.add_argument("--no-examples", dest="examples", action="store_false")
    options = parser.parse_args(arguments)

    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=1)
    state = State(options.state_dir)
    agent = _ensure_principals(state)
    task = _ensure_briefing(agent, weather_url=options.weather_url) if options.examples else None
    write_seeded(
        state, Seeded(fingerprint=os.environ["ORDINAUT_SEED"], briefing_task="" if task is None else str(task.pk))
    )


def _ensure_principals(state: State) -> "Agent":
    """The operator and the agent. What the kept credentials open stays; where they are missing, new ones are made."""
    from django.db import transaction

    from scheduling.agents import operations
    from scheduling.agents.models import Agent, Operator
    from scheduling.agents.roles import Role
    from scheduling.agents.scopes import DEFAULT_SCOPES
    from scheduling.audit.operations import Actor

    actor = Actor.system("up")
    agent = Agent.objects.filter(name=AGENT).first()
    operator = Operator.objects.filter(username=USERNAME).first()
    if agent is not None and operator is not None and state.read_credentials() is not None:
        return agent
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    with transaction.atomic():
        if operator is None:
            operations.create_operator(actor=actor, username=USERNAME, password=password, role=Role.ADMIN)
        else:
            operator.set_password(password)
            operator.save(update_fields=["password"])
        if agent is None:
            agent = operations.create_agent(
                actor=actor, name=AGENT, scopes=DEFAULT_SCOPES, description="The assistant of `manage.py up`."
            )
        _, token = operations.issue_token(actor=actor, agent=agent, name="up")
    # The addresses are filled in by `up`, which knows the port of this start.
    state.write_credentials(Credentials(console_url="", username=USERNAME, password=password, api_url="", token=token))
    return agent


def _ensure_briefing(agent: "Agent", *, weather_url: str) -> "Task":
    """The morning briefing, asking this installation's weather service. A person's changes to it are kept."""
    from scheduling.audit.operations import Actor
    from scheduling.tasks import operations
    from scheduling.tasks.models import Task

    actor = Actor.system("up")
    path = Path(__file__).parent / "examples" / "morning-briefing.json"
    definition: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    params = {"weather_url": weather_url}
    task = Task.objects.filter(agent=agent, key=definition["key"]).first()
    if task is None:
        return operations.create_task(actor=actor, agent=agent, definition={**definition, "params": params})
    if task.params.get("weather_url") != weather_url:
        operations.update_task(actor=actor, task=task, changes={"params": {**task.params, **params}})
    return task


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ordinaut_project.settings")
    main(sys.argv[1:])
