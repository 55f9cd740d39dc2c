"""A calendar leaves out exactly what a check of each occurrence would leave out."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.core.recurrence import Exclusions, Rule, compile_rule
from scheduling.core.recurrence.zones import get_zone
from tests.effort import examples

START = datetime(2025, 3, 1, tzinfo=UTC)
ZONES = ["Europe/Chisinau", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "Africa/Casablanca", "UTC"]
RULES = [
    ("cron", "*/20 * * * *"),
    ("cron", "30 2 * * *"),
    ("rrule", "FREQ=DAILY;BYHOUR=0,2,23;BYMINUTE=0,30"),
    ("rrule", "FREQ=HOURLY;INTERVAL=5"),
    ("interval", "PT7H30M"),
]
days = st.integers(0, 60).map(lambda at: date(2025, 3, 1) + timedelta(days=at))
moments = st.integers(0, 60 * 24 * 60).map(lambda at: START + timedelta(minutes=at))
spans = st.tuples(moments, st.integers(0, 5000)).map(lambda pair: (pair[0], pair[0] + timedelta(minutes=pair[1])))


@settings(max_examples=examples(150, 4), deadline=None)
@given(st.sampled_from(RULES), st.sampled_from(ZONES), st.lists(days, max_size=20), st.lists(spans, max_size=8))
def test_jumping_leaves_out_what_stepping_would(rule, zone, day_list, span_list):
    kind, expression = rule
    calendar = Exclusions("c", days=day_list, spans=span_list)
    bare = Rule(kind=kind, expression=expression, timezone=zone, starts_at=datetime(2025, 2, 27, 0, 30))
    limited = Rule(kind=kind, expression=expression, timezone=zone, starts_at=bare.starts_at, calendars=(calendar,))
    info = get_zone(zone).info
    end = START + timedelta(days=70)
    wanted = [
        at
        for at in compile_rule(bare).occurrences(START, 6000)
        if at < end
        and at.astimezone(info).date() not in day_list
        and not any(low <= at < high for low, high in span_list)
    ]

    found = [at for at in compile_rule(limited).occurrences(START, len(wanted) + 1) if at < end]

    assert found == wanted
