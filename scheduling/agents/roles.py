"""What an operator may do in the console: four roles, each a Django group that holds all of the one before it.

    viewer    sees tasks, runs, workers, events and the audit trail
    operator  also runs, pauses, resumes and backfills tasks, cancels, snoozes and redrives runs, decides approvals,
              drains workers, operates queues
    author    also writes tasks, schedules and calendars
    admin     also manages agents and their tokens, secrets, tool servers and operators

This page is the truth: `migrate` sets the groups to exactly what stands here, so a group that was changed by hand is
put back. Whoever needs another mixture makes a group of their own.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction

from scheduling.agents.models import Operator


class Role(models.TextChoices):
    VIEWER = "viewer"
    OPERATOR = "operator"
    AUTHOR = "author"
    ADMIN = "admin"


# The word among an approval's roles that lets agents decide.
AGENTS = "agents"

OPERATE_TASK = "scheduling.operate_task"
OPERATE_RUN = "scheduling.operate_run"
OPERATE_QUEUE = "scheduling.operate_queue"
OPERATE_WORKER = "workers.operate_worker"

# Beyond add, change, delete and view, which Django makes by itself: (app, model, codename) to its words.
_OWN_PERMISSIONS = {
    ("scheduling", "task", "operate_task"): "Can run, pause and resume tasks and schedules",
    ("scheduling", "run", "operate_run"): "Can cancel, snooze and redrive runs",
    ("scheduling", "queue", "operate_queue"): "Can pause and resume queues and set their rates",
    ("workers", "worker", "operate_worker"): "Can drain workers",
}

_VIEWED = {
    "scheduling": (
        [
            "agent",
            "task",
            "taskrevision",
            "schedule",
            "miss",
            "calendar",
            "backfill",
            "bulkoperation",
            "run",
            "runend",
            "duework",
            "concurrencykey",
            "dedupekey",
            "queue",
            "ratebucket",
            "event",
            "outbox",
            "auditentry",
        ]
    ),
    "pipelines": ["secret", "toolserver", "toolservertool"],
    "workers": ["worker", "steprun", "wait", "question", "artifact", "retention"],
    "django_apscheduler": ["djangojob", "djangojobexecution"],
}
_WRITTEN_BY_AUTHORS = {"scheduling": ["task", "schedule", "calendar"]}
_WRITTEN_BY_ADMINS = {"scheduling": ["agent", "agenttoken", "operator"], "pipelines": ["secret", "toolserver"]}
_SEEN_BY_ADMINS = {"scheduling": ["agenttoken", "operator", "idempotencyrecord"]}


def permissions_of(role: Role) -> frozenset[str]:
    """The role's permissions as `app.codename`, those of the roles below it included."""
    granted = set(_named(_VIEWED, "view"))
    if role in (Role.OPERATOR, Role.AUTHOR, Role.ADMIN):
        granted |= {OPERATE_TASK, OPERATE_RUN, OPERATE_QUEUE, OPERATE_WORKER}
    if role in (Role.AUTHOR, Role.ADMIN):
        granted |= set(_named(_WRITTEN_BY_AUTHORS, "add", "change", "delete"))
    if role is Role.ADMIN:
        granted |= set(_named(_WRITTEN_BY_ADMINS, "add", "change", "delete"))
        granted |= set(_named(_SEEN_BY_ADMINS, "view"))
    return frozenset(granted)


def assign(operator: Operator, role: Role) -> None:
    """Give the operator this role and no other, and let them into the console. Joins the open transaction, if any."""
    with transaction.atomic():
        operator.groups.set(Group.objects.filter(name=role.value))
        if not operator.is_staff:
            operator.is_staff = True
            operator.save(update_fields=["is_staff"])


def role_of(operator: Operator) -> Role | None:
    """The highest of the operator's roles; a superuser is an admin. None: no role."""
    if operator.is_superuser:
        return Role.ADMIN
    held = {group.name for group in operator.groups.all()}
    return next((role for role in reversed(list(Role)) if role.value in held), None)


def words_of(role: Role) -> set[str]:
    """How an approval may name the role: `operator` and `operators` are the same."""
    return {role.value, f"{role.value}s"}


def words_for_deciders() -> frozenset[str]:
    """Every word that somebody may answer to among an approval's roles: ours, each group's, and `agents`. One query."""
    ours = {word for role in Role for word in words_of(role)}
    return frozenset({AGENTS, *ours, *Group.objects.values_list("name", flat=True)})


def make_roles(sender: AppConfig, using: str, **_signal: Any) -> None:
    """After `sender` was migrated: make its own permissions, and grant each group what its role says of this app.

    A receiver of `post_migrate`, which comes once for each app, after Django has made that app's permissions. Groups
    made in a migration would be lost with the first flush of a test database.
    """
    app = sender.label
    wanted = {role: {name for name in permissions_of(role) if name.startswith(f"{app}.")} for role in Role}
    if not wanted[Role.ADMIN]:
        return
    with transaction.atomic(using=using):
        _make_own_permissions(app, using)
        ours = {
            f"{app}.{permission.codename}": permission
            for permission in Permission.objects.using(using).filter(content_type__app_label=app)
        }
        for role in Role:
            group, _ = Group.objects.using(using).get_or_create(name=role.value)
            others = group.permissions.exclude(content_type__app_label=app)
            group.permissions.set([*others, *(ours[name] for name in wanted[role] if name in ours)])


def _make_own_permissions(app: str, using: str) -> None:
    # Ids that were read from another database under the same name: of a test, or of a benchmark's second server.
    ContentType.objects.clear_cache()
    for (label, model, codename), words in _OWN_PERMISSIONS.items():
        if label == app:
            kind = ContentType.objects.db_manager(using).get_by_natural_key(label, model)
            Permission.objects.using(using).update_or_create(
                content_type=kind, codename=codename, defaults={"name": words}
            )


def _named(models_by_app: dict[str, list[str]], *verbs: str) -> Iterator[str]:
    for app, names in models_by_app.items():
        for name in names:
            for verb in verbs:
                yield f"{app}.{verb}_{name}"
