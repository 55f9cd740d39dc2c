"""Reading what runs have done."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from workers.encoding import decode
from workers.models import Artifact, StepRun


def steps_of(run_id: UUID) -> QuerySet[StepRun]:
    """The journal of a run in the order in which its entries were written, one an attempt of a step."""
    return StepRun.objects.filter(run_id=run_id).order_by("pk")


def result_of(step: StepRun) -> Any:
    """The whole result of an attempt, also where it is kept apart as an artifact. Raises Artifact.DoesNotExist."""
    if not step.output_artifact:
        return step.output
    return decode(bytes(Artifact.objects.get(digest=step.output_artifact).content))
