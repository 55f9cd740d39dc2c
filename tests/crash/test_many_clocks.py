"""Two and five clocks at once do what one does."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduling.clock.firing import run_pass
from scheduling.models import Schedule
from tests.crash.clocks_support import (
    assert_nothing_lost_or_doubled,
    fingerprint,
    forget_everything,
    make_due,
    wait_until_all_fired,
)
from tests.effort import in_torture_also
from tests.processes import manage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("clocks", "schedules"), in_torture_also([(2, 600)], [(2, 5000), (5, 10_000)]))
def test_several_clocks_at_once_do_what_one_does(
    clocks: int, schedules: int, process_env: dict[str, str], tmp_path: Path
) -> None:
    expected = make_due(schedules)
    originals = list(Schedule.objects.all())
    with ExitStack() as stack:
        for number in range(clocks):
            log = tmp_path / str(number)
            stack.enter_context(manage("runscheduler", "--no-housekeeping", "--batch", "100", env=process_env, log=log))
        wait_until_all_fired(timeout=90)
    assert_nothing_lost_or_doubled(expected)
    together = fingerprint()

    forget_everything()
    Schedule.objects.bulk_create(originals)
    now = datetime.now(UTC)
    while run_pass(now=now).is_full:
        pass
    alone = fingerprint()

    assert {row[:2] for row in together} == {row[:2] for row in alone}
