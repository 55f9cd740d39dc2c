"""`manage.py toolserver add|refresh|enable|disable|remove|list`: operate tool servers from a terminal."""

import json
from argparse import REMAINDER, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pipelines.models import ToolServer
from pipelines.servers import operations
from pipelines.servers.selectors import shown_servers
from pipelines.servers.shapes import ToolServerShape
from scheduling.audit.operations import Actor
from scheduling.definitions.strict import did_you_mean
from scheduling.errors import SchedulingError

_ACTOR = Actor.system("toolserver")


class Command(BaseCommand):
    help = "Register an MCP server, read its tools, enable, disable or remove it, or list all with their tools."

    def add_arguments(self, parser: ArgumentParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="add|refresh|enable|disable|remove|list")
        add = deeds.add_parser("add", help="Register it and read its tools.")
        add.add_argument("name")
        way = add.add_mutually_exclusive_group(required=True)
        way.add_argument("--url", default="", help="Of its streamable HTTP endpoint.")
        way.add_argument("--command", nargs=REMAINDER, default=[], help="Program and arguments: the rest of the line.")
        for deed, words in (
            ("refresh", "Read its tools anew, from this host."),
            ("enable", "Let pipelines use its tools."),
            ("disable", "Refuse pipelines that name its tools; runs that need them wait."),
            ("remove", "Forget it, with its tools."),
        ):
            deeds.add_parser(deed, help=words).add_argument("name")
        deeds.add_parser("list", help="Print all as JSON, one a line.")

    def handle(self, *args: Any, **options: Any) -> None:
        deed = options["deed"]
        try:
            if deed == "list":
                for server in shown_servers().order_by("name"):
                    self.stdout.write(json.dumps(ToolServerShape(server).data))
            elif deed == "add":
                definition = {name: options[name] for name in ("name", "url", "command")}
                self._refresh(operations.create_server(actor=_ACTOR, definition=definition))
            else:
                self._carry_out(deed, _named(options["name"]))
        except SchedulingError as error:
            raise CommandError(f"{error.detail} {error.hint or ''}".strip()) from error

    def _carry_out(self, deed: str, server: ToolServer) -> None:
        match deed:
            case "refresh":
                self._refresh(server)
            case "remove":
                operations.delete_server(actor=_ACTOR, server=server)
                self.stdout.write(f"{server} is removed.")
            case _:
                operations.update_server(actor=_ACTOR, server=server, changes={"enabled": deed == "enable"})
                self.stdout.write(f"{server} is {deed}d.")

    def _refresh(self, server: ToolServer) -> None:
        refreshed = operations.refresh_tools(actor=_ACTOR, server=server)
        for tool in refreshed.tools.order_by("name"):
            self.stdout.write(f"{tool}  {tool.problem and 'refused: '}{tool.problem or tool.side_effect}")


def _named(name: str) -> ToolServer:
    server = ToolServer.objects.filter(name=name).first()
    if server is None:
        known = ToolServer.objects.order_by("name").values_list("name", flat=True)
        raise CommandError(f"There is no tool server {name!r}. {did_you_mean(name, known) or ''}".strip())
    return server
