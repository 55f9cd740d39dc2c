"""`manage.py createagent`: an agent and its first token, or one more token for an agent that is there."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

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
            help=(
                f"Comma-separated; known: {', '.join(SCOPES)}. Default: all that an assistant needs. "
                "For an agent that exists: narrows the new token."
            ),
        )
        parser.add_argument("--description", default="", help="What a new agent is for.")
        parser.add_argument(
            "--minimum-interval",
            help="A new agent's schedules fire no oftener than this, such as PT5M. Default: no bound.",
        )
        parser.add_argument("--token-name", default="", help="A name for the token, such as the machine it is for.")
        parser.add_argument("--expires-in", help="How long the token opens the API, such as P90D. Default: for ever.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text = self._issue(options)
        except SchedulingError as error:
            raise CommandError(f"{error.detail} {error.hint or ''}".strip()) from error
        except ValueError as error:
            raise CommandError(f"--expires-in: {error}") from error
        self.stderr.write("The token is shown this once; keep it safe.")
        self.stdout.write(text)

    @transaction.atomic
    def _issue(self, options: dict[str, Any]) -> str:
        """Agent and token, or neither; returns the token's text."""
        actor = Actor.system("createagent")
        scopes = _scopes(options["scopes"])
        expires_in = None if options["expires_in"] is None else parse_duration(options["expires_in"])
        agent = Agent.objects.filter(name__iexact=options["name"]).first()
        if agent is None:
            agent = operations.create_agent(
                actor=actor,
                name=options["name"],
                scopes=DEFAULT_SCOPES if scopes is None else scopes,
                description=options["description"],
                minimum_interval=options["minimum_interval"] or "PT0S",
            )
            scopes = None
            self.stderr.write(f"Agent {agent.name} is created with the scopes {', '.join(agent.scopes)}.")
        elif options["description"] or options["minimum_interval"]:
            raise CommandError(f"The agent {agent.name} exists; description and limits are changed in the console.")
        token, text = operations.issue_token(
            actor=actor,
            agent=agent,
            name=options["token_name"],
            scopes=scopes,
            expires_at=None if expires_in is None else database_now() + expires_in,
        )
        if token.scopes is not None:
            self.stderr.write(f"The token may do: {', '.join(token.scopes)}.")
        return text


def _scopes(text: str | None) -> list[str] | None:
    """None where the option was not given. Raises CommandError for an empty list: such a token opens nothing."""
    if text is None:
        return None
    scopes = [scope.strip() for scope in text.split(",") if scope.strip()]
    if not scopes:
        raise CommandError("--scopes: name at least one scope, or leave the option out")
    return scopes
