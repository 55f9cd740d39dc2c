"""The preview of a stored schedule heeds its maximum and its state; that of a rule says what saving would refuse."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduling.schedules.forecast import forecast_of
from scheduling.schedules.previews import preview_of_schedule
from tests.factories import ScheduleFactory, TaskFactory

AFTER = "2090-01-01T00:00:00Z"


def stored(api: Any, **columns: Any) -> Any:
    columns = {"expression": "0 8 * * *", "timezone": "UTC", **columns}
    return ScheduleFactory(task=columns.pop("task", None) or TaskFactory(agent=api.agent), **columns)


def shown(api: Any, schedule: Any, query: str = "count=9") -> tuple[int, list[str]]:
    """How many occurrences and which notes; the console's page says the same."""
    answer = api.get(f"schedules/{schedule.pk}/preview?{query}").json()
    if query == "count=9":
        page = forecast_of(schedule, now=datetime.now(UTC), count=9)
        assert (len(page.fires), page.notes) == (len(answer["next"]), answer["notes"])
    return len(answer["next"]), answer["notes"]


@pytest.mark.django_db
def test_no_more_than_the_remaining_runs_are_shown(api):
    schedule = stored(api, max_occurrences=10, fired_count=7)

    assert shown(api, schedule) == (3, ["It ends after 3 more runs at the latest (max_occurrences: 10)."])
    assert shown(api, schedule, "count=2") == (2, ["It ends after 3 more runs at the latest (max_occurrences: 10)."])


@pytest.mark.django_db
def test_what_runs_before_the_time_that_is_asked_about_is_taken_off(api):
    schedule = stored(api, max_occurrences=10, fired_count=7)
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT00:30:00Z")

    assert shown(api, schedule, f"after={tomorrow}&count=9")[0] in (1, 2)
    assert shown(api, schedule, f"after={AFTER}&count=9") == (
        0,
        ["It ends after 3 more runs at the latest (max_occurrences: 10)."],
    )


@pytest.mark.django_db
def test_what_a_pause_takes_is_not_taken_off(api):
    now = datetime.now(UTC)
    end = (now + timedelta(days=9)).replace(hour=12, minute=0, second=0, microsecond=0)
    columns = {"max_occurrences": 3}
    paused_task = TaskFactory(agent=api.agent, state="paused", paused_at=now, paused_until=end)
    for schedule in (
        stored(api, state="paused", paused_until=end, **columns),
        stored(api, held_at=now, task=paused_task, **columns),
        stored(api, held_at=now, task=paused_task, state="paused", paused_until=now + timedelta(days=1), **columns),
    ):
        times = [
            api.get(f"schedules/{schedule.pk}/preview?count=9&after={after:%Y-%m-%dT%H:%M:%SZ}").json()["next"]
            for after in (end - timedelta(days=3), end, end + timedelta(days=1), end + timedelta(days=3))
        ]
        # What the pause takes is shown, too, and before its end that is three more.
        assert [len(each) for each in times] == [6, 3, 2, 0]
        assert times[1][0]["utc"] == f"{end + timedelta(days=1):%Y-%m-%dT08:00:00Z}"


@pytest.mark.django_db
@pytest.mark.parametrize("columns", [{"state": "paused"}, {"held_at": datetime(2026, 1, 1, tzinfo=UTC)}])
def test_what_somebody_must_resume_first_has_all_its_runs_before_it(api, columns):
    assert shown(api, stored(api, max_occurrences=3, **columns), f"count=9&after={AFTER}")[0] == 3


@pytest.mark.django_db
def test_a_schedule_that_has_had_its_runs_shows_none(api):
    schedule = stored(api, max_occurrences=1, fired_count=1, state="completed", next_fire_at=None)

    assert shown(api, schedule) == (
        0,
        ["It has had its 1 run (max_occurrences: 1).", "It is completed: it fires no more."],
    )


@pytest.mark.django_db
def test_a_paused_schedule_is_noted_as_such(api):
    assert shown(api, stored(api, state="paused")) == (
        9, ["It is paused: none of these fires until it is resumed."],
    )  # fmt: skip


@pytest.mark.django_db
def test_a_snoozed_schedule_is_noted_with_its_end(api):
    schedule = stored(api, state="paused", paused_until=datetime(2090, 1, 1, tzinfo=UTC), timezone="Europe/Berlin")

    assert shown(api, schedule)[1] == ["It is paused until 2090-01-01 01:00: none of these fires before it is resumed."]


@pytest.mark.django_db
def test_a_schedule_whose_task_is_paused_is_noted_as_such(api):
    schedule = stored(
        api, held_at=datetime.now(UTC), task=TaskFactory(agent=api.agent, state="paused", paused_at=datetime.now(UTC))
    )

    assert shown(api, schedule)[1] == ["Its task is paused: none of these fires until the task is resumed."]


@pytest.mark.django_db
def test_a_completed_schedule_is_noted_as_such(api):
    schedule = stored(api, state="completed", next_fire_at=None, ends_at=datetime(2020, 1, 1, tzinfo=UTC))

    assert shown(api, schedule)[1][-1] == "It is completed: it fires no more."


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"kind": "once", "expression": "2020-01-01T08:00:00"}, "expression"),
        ({"kind": "cron", "expression": "0 8 * * *", "starts_at": "2090-01-02T00:00:00", "ends_at": AFTER}, "ends_at"),
    ],
)
def test_what_saving_would_refuse_is_noted_in_the_same_words(api, line, field):
    task = TaskFactory(agent=api.agent)

    refused = api.post(f"tasks/{task.pk}/schedules", line).json()["errors"][0]
    answer = api.post("schedules/preview", {**line, "after": "2019-01-01T00:00:00Z"}).json()

    assert refused["pointer"] == f"/{field}"
    assert f"It would be refused: {refused['detail']}" in answer["notes"]


TIMES = [
    "20261201T000000",
    "2026-W49-1T00:00:00",
    "2026-12-01T00",
    "2026-12-01T00:00:00z",
    "2026-12-01t00:00:00",
    "2026-12-01T00:00:00+0200",
    "2026-12-01T00:00:00,5",
    "2026-12-01T00:00:00.1234567",
    "2026-12-01 00:00:00",
    "2026-12-01",
    "1899-12-31T00:00:00",
    "2026-12-01T00:00",
    "2026-12-01T00:00:00.5",
    "2026-12-01T00:00:00-05:00",
]


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["starts_at", "ends_at", "exdates", "rdates"])
@pytest.mark.parametrize("text", TIMES)
def test_preview_and_save_read_times_alike(api, field, text):
    task = TaskFactory(agent=api.agent)
    line = {"kind": "cron", "expression": "0 8 * * *", field: [text] if field.endswith("dates") else text}

    saved = api.post(f"tasks/{task.pk}/schedules", line)
    previewed = api.post("schedules/preview", line)

    expected = 422 if TIMES.index(text) < TIMES.index("2026-12-01T00:00") else 200
    assert (previewed.status_code, saved.status_code) == (expected, 201 if expected == 200 else 422)
    if expected == 422:
        one, other = (answer.json()["errors"][0] for answer in (saved, previewed))
        assert one["code"] == other["code"] == "invalid_datetime"
        assert one["pointer"].startswith(f"/{field}")


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["timezone", "starts_at", "ends_at", "exdates", "rdates", "calendars", "gap", "fold"])
def test_null_means_not_given_in_preview_and_save(api, field):
    line = {"kind": "cron", "expression": "0 8 * * *", field: None}

    assert api.post("schedules/preview", line).status_code == 200
    assert api.post(f"tasks/{TaskFactory(agent=api.agent).pk}/schedules", line).status_code == 201


@pytest.mark.django_db
def test_null_of_what_only_save_knows_means_the_default_too(api):
    nulls = {"jitter": None, "filter": None, "misfire": {"policy": None, "grace": None, "limit": None}}
    line = {"kind": "cron", "expression": "0 8 * * *"}
    task = TaskFactory(agent=api.agent)

    made = api.post(f"tasks/{task.pk}/schedules", {**line, **nulls}).json()
    other = api.post(
        f"tasks/{task.pk}/schedules",
        {
            **line,
            "jitter": "PT5S",
            "misfire": {"policy": "all", "limit": 3, "window": "PT1H"},
            "timezone": "Asia/Tokyo",
        },
    ).json()
    changed = api.patch(f"schedules/{other['id']}", {"jitter": None, "misfire": None, "timezone": None}).json()

    defaults = {"policy": "last", "grace": "PT1M", "limit": 100, "window": None}
    assert (made["jitter"], made["misfire"]) == ("PT0S", defaults)
    assert (changed["jitter"], changed["misfire"], changed["timezone"]) == ("PT0S", defaults, "UTC")


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["kind", "expression"])
def test_null_of_what_must_be_given_is_refused_by_both(api, field):
    line = {"kind": "cron", "expression": "0 8 * * *", field: None}

    assert api.post("schedules/preview", line).status_code == 422
    assert api.post(f"tasks/{TaskFactory(agent=api.agent).pk}/schedules", line).status_code == 422


@pytest.mark.django_db
def test_preview_and_save_take_as_many_calendars(api):
    line = {"kind": "cron", "expression": "0 8 * * *", "calendars": ["a", "b", "c", "d", "e"]}

    answers = [
        api.post("schedules/preview", line),
        api.post(f"tasks/{TaskFactory(agent=api.agent).pk}/schedules", line),
    ]

    assert [answer.json()["errors"][0]["pointer"] for answer in answers] == ["/calendars", "/calendars"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("own", "of_task", "words"),
    [
        ("2090-01-01", "2091-01-01", "It and its task are paused until 2091-01-01 01:00"),
        ("2091-01-01", "2090-01-01", "It and its task are paused until 2091-01-01 01:00"),
        ("2090-01-01", None, "It and its task are paused"),
        (None, "2090-01-01", "It and its task are paused"),
    ],
)
def test_of_two_pauses_the_one_that_decides_is_told(api, own, of_task, words):
    def at(day: str | None) -> datetime | None:
        return None if day is None else datetime.fromisoformat(f"{day}T00:00:00+00:00")

    now = datetime.now(UTC)
    task = TaskFactory(agent=api.agent, state="paused", paused_at=now, paused_until=at(of_task))
    schedule = stored(api, task=task, held_at=now, state="paused", paused_until=at(own), timezone="Europe/Berlin")

    [note] = shown(api, schedule)[1]

    preposition = "before" if "until" in words else "until"
    assert note == f"{words}: none of these fires {preposition} both are resumed."


@pytest.mark.django_db
def test_a_snooze_that_is_over_keeps_nothing_from_firing(api):
    over = datetime.now(UTC) - timedelta(minutes=1)

    assert shown(api, stored(api, state="paused", paused_until=over))[1] == []


@pytest.mark.django_db
@pytest.mark.parametrize("count", ["\u0663", "0", "1001", "three", "3.5"])
def test_a_count_that_is_none_is_refused(api, count):
    answer = api.get(f"schedules/{stored(api).pk}/preview?count={count}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/count"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("maximum", "minutes", "shown_ones", "is_told"),
    [(12_000, 9_990, 20, False), (12_000, 11_990, 20, True), (9_999, 9_990, 9, False)],
)
def test_a_maximum_that_is_too_far_to_be_counted_to_is_told(
    maximum: int, minutes: int, shown_ones: int, is_told: bool
) -> None:
    now = datetime.now(UTC).replace(second=30, microsecond=0)
    schedule = ScheduleFactory(expression="* * * * *", next_fire_at=now, max_occurrences=maximum)

    found = preview_of_schedule(schedule, after=now + timedelta(minutes=minutes), now=now, count=20)

    assert len(found.next) == shown_ones
    assert any("are not counted" in note for note in found.notes) == is_told


@pytest.mark.django_db
def test_what_a_snooze_takes_uses_up_no_runs_of_a_maximum() -> None:
    now = datetime(2026, 6, 1, 13, 43, tzinfo=UTC)
    until = datetime(2026, 6, 1, 18, 1, tzinfo=UTC)
    columns = {"expression": "0 * * * *", "max_occurrences": 2, "state": "paused", "paused_until": until}
    schedule = ScheduleFactory(next_fire_at=now + timedelta(minutes=17), **columns)

    def hours(**asked: Any) -> list[int]:
        found = preview_of_schedule(schedule, now=now, **asked)
        return [datetime.fromisoformat(each.utc.replace("Z", "+00:00")).hour for each in found.next]

    assert hours(after=now, count=10) == [14, 15, 16, 17, 18, 19, 20]
    assert hours(after=now, count=3) == [14, 15, 16]
    assert hours(after=until, count=10) == [19, 20]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("policy", "late", "shown_ones"), [("last", 0, 2), ("last", 5, 1), ("all", 1, 1), ("all", 5, 0), ("skip", 5, 3)]
)
def test_what_is_due_and_not_fired_yet_is_taken_off_the_maximum(policy: str, late: int, shown_ones: int) -> None:
    now = datetime(2026, 6, 1, 13, 43, 10, tzinfo=UTC)
    mark = now.replace(second=0) - timedelta(minutes=late)
    grace = timedelta(seconds=5 if policy == "skip" else 30)
    columns = {"misfire_policy": policy, "misfire_grace": grace, "max_occurrences": 3}
    schedule = ScheduleFactory(expression="* * * * *", next_fire_at=mark, starts_at=datetime(2026, 1, 1), **columns)

    found = preview_of_schedule(schedule, after=now, now=now, count=20)

    assert len(found.next) == shown_ones
    due = "" if shown_ones == 3 else f" (max_occurrences: 3), of which {3 - shown_ones} "
    assert any(due in note for note in found.notes)


@pytest.mark.django_db
def test_what_is_due_and_shown_is_not_taken_off_as_well() -> None:
    now = datetime(2026, 6, 1, 13, 43, 10, tzinfo=UTC)
    before = now.replace(second=0)
    schedule = ScheduleFactory(expression="* * * * *", next_fire_at=before, max_occurrences=3)

    found = preview_of_schedule(schedule, after=before - timedelta(seconds=1), now=now, count=20)

    assert [each.utc[11:16] for each in found.next] == ["13:43", "13:44", "13:45"]


@pytest.mark.django_db
@pytest.mark.parametrize("state", [{"state": "quarantined"}, {"state": "paused"}])
def test_what_a_schedule_that_does_not_fire_has_due_takes_nothing_off(state: dict[str, Any]) -> None:
    now = datetime(2026, 6, 1, 13, 43, 10, tzinfo=UTC)
    mark = now.replace(second=0)
    schedule = ScheduleFactory(expression="* * * * *", next_fire_at=mark, max_occurrences=3, **state)

    assert len(preview_of_schedule(schedule, after=now, now=now, count=20).next) == 3
