"""System checks: what every command verifies, and what only services need."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from scheduling.checks import check_pipeline_port, check_service_settings, require_service_settings


def ids(messages):
    return [message.id for message in messages]


def test_the_configured_judge_answers_what_scheduling_asks():
    assert check_pipeline_port() == []


@pytest.mark.parametrize("path", ["", "no.such.Port", "pipelines.port.Nothing", "datetime.datetime"])
def test_a_judge_that_cannot_be_is_an_error(settings, path):
    settings.ORDINAUT_PIPELINE_PORT = path

    assert ids(check_pipeline_port()) == ["scheduling.E001"]


def test_a_service_needs_a_key_and_a_database(settings, monkeypatch):
    settings.SECRET_KEY = "short"
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.dummy")
    settings.ORDINAUT_REDIS_URL = ""

    assert ids(check_service_settings()) == ["scheduling.E002", "scheduling.E003", "scheduling.W001"]
    with pytest.raises(SystemCheckError, match=r"scheduling\.E002"):
        require_service_settings()


def test_a_service_with_both_may_start(settings):
    assert check_service_settings() == []
    require_service_settings()


@pytest.mark.parametrize(
    ("command", "setting", "value", "check"),
    [
        ("runscheduler", "ORDINAUT_PIPELINE_PORT", "no.such.Port", "scheduling.E001"),
        ("runworkers", "ORDINAUT_GRACE", timedelta(seconds=-1), "workers.E001"),
        ("runworkers", "ORDINAUT_ISOLATED_PROCESSES", "many", "pipelines.E003"),
    ],
)
def test_clocks_and_workers_refuse_settings_that_the_checks_of_any_app_refuse(settings, command, setting, value, check):
    setattr(settings, setting, value)

    with pytest.raises(SystemCheckError, match=check):
        call_command(command, skip_checks=False)
