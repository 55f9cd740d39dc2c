"""The revisions of a task's pipeline, and whether params fit them."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from scheduling.audit.operations import Actor
from scheduling.errors import NotValid, Problem
from scheduling.ports import pipeline_port
from scheduling.tasks.models import RevisionPurpose, Task, TaskRevision


def revise(*, actor: Actor, task: Task, document: Mapping[str, Any]) -> bool:
    """Make the document the task's current revision; False where it is already. Sets the column, the caller saves.

    Requires a transaction that holds the task's row, so that numbers follow one another.
    """
    digest = hashlib.sha256(orjson.dumps(document)).hexdigest()
    current = task.current_revision
    if current is not None and current.digest == digest:
        return False
    task.current_revision = _save(actor, task, document, digest, RevisionPurpose.PIPELINE)
    return True


def revise_check(*, actor: Actor, task: Task, document: Mapping[str, Any]) -> TaskRevision:
    """The revision of a check pipeline, the one that is stored already where the document is the same.

    Requires a transaction that holds the task's row.
    """
    digest = hashlib.sha256(orjson.dumps(document)).hexdigest()
    known = task.revisions.filter(purpose=RevisionPurpose.CHECK, digest=digest).first()
    return known or _save(actor, task, document, digest, RevisionPurpose.CHECK)


def _save(actor: Actor, task: Task, document: Mapping[str, Any], digest: str, purpose: RevisionPurpose) -> TaskRevision:
    latest = task.revisions.filter(purpose=purpose).order_by("-number").values_list("number", flat=True).first()
    return TaskRevision.objects.create(
        task=task,
        purpose=purpose,
        number=(latest or 0) + 1,
        document=dict(document),
        digest=digest,
        created_by=str(actor),
    )


def require_fitting_params(document: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """NotValid, with pointers under /params, where the params laid over the document's defaults break its schema."""
    found = pipeline_port().check_params(document, params)
    errors = [Problem.of(each) for each in found if each.get("severity", "error") == "error"]
    if errors:
        raise NotValid.because(errors)
