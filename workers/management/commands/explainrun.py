"""`manage.py explainrun`: why a run does not run, or what it does."""

from typing import Any
from uuid import UUID

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from scheduling.runs.models import Run
from workers.explain import Explanation, explain, explainable


class Command(BaseCommand):
    help = "Say why a run does not run, or what it does. The most important reason comes first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", help="The id of the run.")
        parser.add_argument("--json", action="store_true", help="Print codes, sentences and facts as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            explanation = explain(explainable(UUID(options["run"])))
        except ValueError:
            raise CommandError(f"{options['run']!r} is no id of a run: a UUID is.") from None
        except Run.DoesNotExist:
            raise CommandError(f"there is no run {options['run']}") from None
        self.stdout.write(_as_json(explanation) if options["json"] else _as_text(explanation))


def _as_text(explanation: Explanation) -> str:
    mark = " (simulated)" if explanation.simulated else ""
    lines = [f"Run {explanation.run_id} is {explanation.state}{mark}."]
    for reason in explanation.reasons:
        lines.append(f"- {reason.sentence} [{reason.code}]")
        if reason.hint:
            lines.append(f"  {reason.hint}")
    return "\n".join(lines)


def _as_json(explanation: Explanation) -> str:
    reasons = [
        {"code": each.code, "sentence": each.sentence, "hint": each.hint, "facts": each.facts}
        for each in explanation.reasons
    ]
    return orjson.dumps(
        {
            "run": explanation.run_id,
            "state": explanation.state,
            "at": explanation.at,
            "simulated": explanation.simulated,
            "summary": explanation.summary,
            "reasons": reasons,
        },
        option=orjson.OPT_UTC_Z,
    ).decode()
