"""What the database itself refuses to change."""

import pytest
from django.db import IntegrityError, connection, transaction

from scheduling.audit.models import ActorKind
from scheduling.models import AuditEntry, TaskRevision
from tests.factories import TaskFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry() -> AuditEntry:
    return AuditEntry.objects.create(
        actor_kind=ActorKind.SYSTEM, actor_label="tests", action="task.pause", object_kind="task", object_id="1"
    )


def test_an_audit_entry_cannot_be_changed(entry: AuditEntry) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        AuditEntry.objects.update(action="task.resume")

    assert AuditEntry.objects.get().action == "task.pause"


def test_an_audit_entry_cannot_be_deleted(entry: AuditEntry) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        AuditEntry.objects.all().delete()

    assert AuditEntry.objects.exists()


def test_the_audit_trail_cannot_be_truncated(entry: AuditEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE scheduling_auditentry ENABLE TRIGGER audit_entry_is_not_truncated")
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            cursor.execute("TRUNCATE scheduling_auditentry")


def test_a_revision_cannot_be_changed() -> None:
    revision = TaskFactory().current_revision

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        TaskRevision.objects.filter(pk=revision.pk).update(digest="0" * 64)
