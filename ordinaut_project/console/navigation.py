"""The sidebar: when, how and who, in the words of operators."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    """The navigation of every page. An item is shown to those who may view what it leads to.

    One item is marked as the present one: of those that lead here or above, the nearest.
    """
    found = _groups()
    links = [item["link"] for group in found for item in group["items"]]
    nearest = max((link for link in links if request.path.startswith(link)), key=len, default="")
    for group in found:
        for item in group["items"]:
            item["active"] = item["link"] == nearest
    return found


def _groups() -> list[dict[str, Any]]:
    return [
        {"items": [_item("Dashboard", "dashboard", "admin:index")]},
        {
            "title": "When",
            "items": [
                _listing("Tasks", "assignment", "scheduling.task"),
                _listing("Schedules", "calendar_month", "scheduling.schedule"),
                _listing("Backfills", "history", "scheduling.backfill"),
                _listing("Calendars", "event_busy", "scheduling.calendar"),
                _listing("Runs", "play_circle", "scheduling.run"),
                _listing("Approvals", "approval", "workers.question"),
                _item("Dead letters", "report", "admin:dead_letters", "scheduling.view_run"),
                _listing("Events", "bolt", "scheduling.event"),
                _listing("Audit", "fact_check", "scheduling.auditentry"),
            ],
        },
        {
            "title": "How",
            "items": [
                _item("Tools", "construction", "admin:tool_catalog", "scheduling.view_task"),
                _listing("Tool servers", "dns", "pipelines.toolserver"),
                _listing("Secrets", "key", "pipelines.secret"),
            ],
        },
        {
            "title": "Who",
            "items": [
                _listing("Workers", "memory", "workers.worker"),
                _listing("Queues", "stacks", "scheduling.queue"),
                _listing("Bulk operations", "playlist_play", "scheduling.bulkoperation"),
                _listing("Due work", "low_priority", "scheduling.duework"),
                _listing("Agents", "smart_toy", "scheduling.agent"),
                _listing("Operators", "group", "scheduling.operator"),
                _listing("Retention", "auto_delete", "workers.retention"),
                _listing("Housekeeping", "cleaning_services", "django_apscheduler.djangojobexecution"),
            ],
        },
    ]


def _listing(title: str, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    return _item(title, icon, f"admin:{app}_{name}_changelist", f"{app}.view_{name}")


def _item(title: str, icon: str, url_name: str, permission: str = "") -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(url_name), "permission": _holder_of(permission)}


def _holder_of(permission: str) -> Callable[[HttpRequest], bool]:
    def is_allowed(request: HttpRequest) -> bool:
        return not permission or request.user.has_perm(permission)

    return is_allowed
