from datetime import timedelta

import pytest

from workers.checks import check_settings


def test_the_times_of_a_fresh_installation_are_in_order():
    assert check_settings() == []


@pytest.mark.parametrize(
    ("name", "seconds", "check"),
    [
        ("ORDINAUT_ABORT_AFTER", 20, "workers.E002"),
        ("ORDINAUT_BEAT_INTERVAL", 6, "workers.E002"),
        ("ORDINAUT_REAP_AFTER", 0, "workers.E001"),
        ("ORDINAUT_GRACE", -1, "workers.E001"),
    ],
)
def test_times_that_would_void_the_promises_are_refused(settings, name, seconds, check):
    setattr(settings, name, timedelta(seconds=seconds))

    assert [message.id for message in check_settings()] == [check]
