"""`manage.py createagent`: an agent and its first token, or one more token for an agent that is there."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.agents import operations
from scheduling.agents.models import Agent
from scheduling.agents.scopes import DEFAULT_SCOPES, SCOPES
from scheduling.audit.operations import Actor
from scheduling.definitions.durations import parse_duration
from scheduling.errors import SchedulingError
from scheduling.instants import database_now


class Command(BaseCommand):
    help = "Create an agent and print its token, once. For an agent that exists: issue one more token."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="The agent's name: letters, digits, hyphens and underscores.")
        parser.add_argument(
            "--scopes",
            default=",".join(DEFAULT_SCOPES),
            help=f"Comma-separated; known: {', '.join(SCOPES)}. Default: all that an assistant needs.",
        )
        parser.add_argument("--description", default="", help="What the agent is for.")
        parser.add_argument("--token-name", default="", help="A name for the token, such as the machine it is for.")
        parser.add_argument("--expires-in", help="How long the token opens the API, such as P90D. Default: for ever.")

    def handle(self, *args: Any, **options: Any) -> None:
        scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        actor = Actor.system("createagent")
        try:
            agent = Agent.objects.filter(name__iexact=options["name"]).first()
            if agent is None:
                agent = operations.create_agent(
                    actor=actor, name=options["name"], scopes=scopes, description=options["description"]
                )
                self.stderr.write(f"Agent {agent.name} was created with the scopes {', '.join(agent.scopes)}.")
            expires_in = options["expires_in"]
            _, text = operations.issue_token(
                actor=actor,
                agent=agent,
                name=options["token_name"],
                expires_at=None if expires_in is None else database_now() + parse_duration(expires_in),
            )
        except SchedulingError as error:
            raise CommandError(f"{error.detail} {error.hint or ''}".strip()) from error
        except ValueError as error:
            raise CommandError(f"--expires-in: {error}") from error
        self.stderr.write("The token is shown this once; keep it safe.")
        self.stdout.write(text)
