"""Fast searches against slow, obvious ones."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduling.core.recurrence import Rule, ScheduleError, compile_rule
from tests.effort import examples
from tests.property.core.cron_words import cron_matcher
from tests.property.core.rules import anchors, cron_expressions, folds, gaps, resolve, rrules, zones

# Fridays before clock changes, so that the week after holds one: of both kinds, at midnight too, and of half an hour.
CHANGE_WEEKS = (
    ("Europe/Berlin", datetime(2025, 3, 28)),
    ("Europe/Berlin", datetime(2025, 10, 24)),
    ("Europe/Chisinau", datetime(2025, 3, 28)),
    ("America/New_York", datetime(2025, 3, 7)),
    ("America/New_York", datetime(2025, 10, 31)),
    ("America/Sao_Paulo", datetime(2017, 10, 13)),
    ("America/Sao_Paulo", datetime(2018, 2, 16)),
    ("Africa/Cairo", datetime(2025, 4, 24)),
    ("Asia/Beirut", datetime(2025, 3, 28)),
    ("Australia/Lord_Howe", datetime(2025, 10, 3)),
    ("Australia/Lord_Howe", datetime(2025, 4, 4)),
    ("Pacific/Apia", datetime(2011, 12, 28)),
    ("Africa/Casablanca", datetime(2025, 2, 21)),
)
HORIZON = datetime(2035, 1, 1)


def occurrences_or_none(rule: Rule, after: datetime, limit: int) -> list[datetime]:
    """None at all where the rule is refused because it never occurs."""
    try:
        return compile_rule(rule).occurrences(after, limit)
    except ScheduleError as error:
        if error.code != "never_occurs":
            raise
        return []


@settings(deadline=None, max_examples=examples(50))
@given(expression=cron_expressions(), week=st.sampled_from(CHANGE_WEEKS), gap=gaps, fold=folds)
def test_cron_is_what_a_scan_of_every_minute_finds(
    expression: str, week: tuple[str, datetime], gap: str, fold: str
) -> None:
    zone, friday = week
    start = friday.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = start + timedelta(days=4)
    minute, hour, *_ = expression.split()
    matches = cron_matcher(expression)
    expected: set[datetime] = set()
    if minute.startswith("*") or hour.startswith("*"):
        for count in range(4 * 24 * 60):
            instant = start + timedelta(minutes=count)
            if matches(instant.astimezone(ZoneInfo(zone))):
                expected.add(instant)
    else:
        for count in range(-2 * 24 * 60, 6 * 24 * 60):
            wall = friday + timedelta(minutes=count)
            if matches(wall):
                expected.update(resolve(wall, zone, gap=gap, fold=fold))

    recurrence = compile_rule(Rule(kind="cron", expression=expression, timezone=zone, gap=gap, fold=fold))
    found = [at for at in recurrence.occurrences(start - timedelta(seconds=1), 6000) if at < end]

    assert found == sorted(at for at in expected if start <= at < end)


@settings(deadline=None, max_examples=examples(120))
@given(
    expression=rrules(freqs=("YEARLY", "MONTHLY", "WEEKLY", "DAILY")), anchor=anchors, zone=zones, gap=gaps, fold=folds
)
def test_rules_of_days_are_what_dateutil_expands_in_local_time(
    expression: str, anchor: datetime, zone: str, gap: str, fold: str
) -> None:
    walls = rrulestr(f"{expression};UNTIL={HORIZON:%Y%m%dT%H%M%S}", dtstart=anchor)
    local = [wall for wall, _ in zip(walls, range(60), strict=False)]
    assume(local)
    expected = sorted({at for wall in local for at in resolve(wall, zone, gap=gap, fold=fold)})

    rule = Rule(kind="rrule", expression=expression, timezone=zone, starts_at=anchor, gap=gap, fold=fold)
    found = compile_rule(rule).occurrences(datetime(2000, 1, 1, tzinfo=UTC), len(expected))

    # The last few may be overtaken by moved times that come after the sample.
    assert found[:50] == expected[:50]


@settings(deadline=None, max_examples=examples(100))
@given(expression=rrules(freqs=("HOURLY", "MINUTELY", "SECONDLY"), most_interval=1000), anchor=anchors)
def test_finer_rules_are_what_dateutil_expands(expression: str, anchor: datetime) -> None:
    # dateutil crawls through months that BYMONTH leaves out; what it does answer, it answers rightly.
    expression = ";".join(part for part in expression.split(";") if not part.startswith(("BYMONTH=", "BYMONTHDAY=")))
    try:
        walls = rrulestr(expression, dtstart=anchor)
        expected = [wall.replace(tzinfo=UTC) for wall, _ in zip(walls, range(25), strict=False)]
    except ValueError:
        assume(False)
        raise
    rule = Rule(kind="rrule", expression=expression, starts_at=anchor)

    assert occurrences_or_none(rule, datetime(2000, 1, 1, tzinfo=UTC), len(expected)) == expected


@settings(deadline=None, max_examples=examples(30))
@given(
    expression=rrules(freqs=("HOURLY", "MINUTELY"), most_interval=50),
    week=st.sampled_from([week for week in CHANGE_WEEKS if week[0] != "Australia/Lord_Howe"]),
)
def test_finer_rules_follow_elapsed_time_through_clock_changes(expression: str, week: tuple[str, datetime]) -> None:
    zone, friday = week
    parts = dict(part.split("=") for part in expression.split(";"))
    parts["BYSECOND"] = "0"
    parts.pop("BYMONTH", None)
    parts.pop("BYMONTHDAY", None)
    if parts["FREQ"] == "HOURLY":
        parts.setdefault("BYMINUTE", "0")
    anchor = friday.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    unit = timedelta(hours=1) if parts["FREQ"] == "HOURLY" else timedelta(minutes=1)
    expected = []
    for count in range(4 * 24 * 60):
        instant = anchor + timedelta(minutes=count)
        wall = instant.astimezone(ZoneInfo(zone))
        is_counted = ((instant - anchor) // unit) % int(parts.get("INTERVAL", 1)) == 0
        if is_counted and all(
            name not in parts or value in parts[name].split(",")
            for name, value in (
                ("BYMINUTE", str(wall.minute)),
                ("BYHOUR", str(wall.hour)),
                ("BYDAY", ("MO", "TU", "WE", "TH", "FR", "SA", "SU")[wall.weekday()]),
            )
        ):
            expected.append(instant)
    text = ";".join(f"{name}={value}" for name, value in parts.items())

    rule = Rule(kind="rrule", expression=text, timezone=zone, starts_at=friday)

    found = occurrences_or_none(rule, anchor - timedelta(seconds=1), 6000)

    assert [at for at in found if at < anchor + timedelta(days=4)] == expected


@settings(deadline=None, max_examples=examples(100))
@given(
    expression=rrules(freqs=("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")),
    anchor=anchors,
    count=st.integers(1, 40),
    zone=zones,
)
def test_count_ends_a_rule_after_so_many_occurrences(expression: str, anchor: datetime, count: int, zone: str) -> None:
    """Of local times that exist: those left out are neither run nor counted under `skip`."""

    def occurrences(text: str) -> list[datetime]:
        rule = Rule(kind="rrule", expression=text, timezone=zone, starts_at=anchor, gap="skip")
        return compile_rule(rule).occurrences(datetime(2000, 1, 1, tzinfo=UTC), count + 5)

    try:
        endless = occurrences(expression)
    except ScheduleError:
        assume(False)
        raise

    assert occurrences(f"{expression};COUNT={count}") == endless[:count]
