"""Tags of the console's templates: badges, links and words, so that the templates hold no logic."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.db import models
from django.utils.safestring import SafeString

from scheduling.console import badges, code, words
from scheduling.runs.models import Run
from scheduling.runs.selectors import effective_state

register = template.Library()


@register.simple_tag
def badge(word: str, title: str = "") -> SafeString:
    return badges.badge(word, title=title)


@register.simple_tag
def run_badge(state: str) -> SafeString:
    return badges.run_badge(state)


@register.simple_tag
def simulated_badge() -> SafeString:
    return badges.simulated_badge()


@register.simple_tag
def object_url(obj: models.Model) -> str:
    """The console's page of an object."""
    # Tag libraries are loaded while unfold's own admin module is being imported, and `listing` imports that.
    from scheduling.console.listing import change_url

    return change_url(obj)


@register.filter
def moment(instant: datetime | None) -> str:
    return words.moment(instant)


@register.filter
def duration(span: timedelta | float | None) -> str:
    return words.duration(span)


@register.filter
def json_block(value: Any) -> SafeString:
    return code.json_block(value)


@register.filter
def yaml_block(value: Any) -> SafeString:
    return code.yaml_block(value)


@register.simple_tag
def folded_json(label: str, value: Any, opened: bool = False) -> SafeString:
    return code.folded_json(label, value, opened=opened)


@register.simple_tag
def run_state(run: Run) -> SafeString:
    """What the run does now; a running one is read from its due work."""
    return badges.run_badge(effective_state(run))


@register.simple_tag
def run_duration(run: Run) -> str:
    """From its first claim to its end; a dash while it has neither."""
    return words.duration(run.finished_at - run.started_at) if run.finished_at and run.started_at else words.NOTHING


@register.filter
def short_id(key: Any) -> str:
    """The last part of an id: the first of a UUIDv7 is its time, which runs of the same moment share."""
    return f"…{str(key)[-12:]}"


@register.filter
def is_failed(state: str) -> bool:
    return state == "failed"
