"""Random schedules that are valid, and slow, obvious ways to work out the same instants."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Chisinau",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "America/Havana",
    "America/St_Johns",
    "Antarctica/Troll",
    "Europe/Dublin",
    "Asia/Tehran",
)
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

zones = st.sampled_from(ZONES)
anchors = st.datetimes(datetime(2009, 1, 1), datetime(2026, 1, 1)).map(lambda at: at.replace(microsecond=0, fold=0))
gaps = st.sampled_from(("shift", "next", "skip"))
folds = st.sampled_from(("first", "second", "both"))


def numbers(low: int, high: int, most: int) -> st.SearchStrategy[str]:
    items = st.lists(st.integers(low, high), min_size=1, max_size=most, unique=True)
    return items.map(lambda values: ",".join(str(value) for value in values))


def cron_field(low: int, high: int) -> st.SearchStrategy[str]:
    span = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda ends: f"{min(ends)}-{max(ends)}")
    step = st.integers(1, high).map(lambda value: f"*/{value}")
    return st.one_of(st.just("*"), numbers(low, high, 3), span, step)


@st.composite
def cron_expressions(draw: st.DrawFn) -> str:
    day = draw(st.one_of(st.just("*"), cron_field(1, 28)))
    weekday = draw(st.one_of(st.just("*"), cron_field(0, 7)))
    month = draw(st.one_of(st.just("*"), cron_field(1, 12)))
    return f"{draw(cron_field(0, 59))} {draw(cron_field(0, 23))} {day} {month} {weekday}"


@st.composite
def rrules(draw: st.DrawFn, *, freqs: tuple[str, ...], most_interval: int = 4) -> str:
    """RRULEs of which python-dateutil is right: no BYSETPOS, no mixed BYDAY, no BYWEEKNO."""
    freq = draw(st.sampled_from(freqs))
    parts = [f"FREQ={freq}"]

    def maybe(name: str, values: st.SearchStrategy[str]) -> None:
        if draw(st.booleans()):
            parts.append(f"{name}={draw(values)}")

    maybe("INTERVAL", st.integers(1, most_interval).map(str))
    maybe("BYMONTH", numbers(1, 12, 3))
    days = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=3, unique=True).map(",".join)
    placed = st.tuples(st.sampled_from((-2, -1, 1, 2, 5)), st.sampled_from(WEEKDAYS)).map(lambda d: f"{d[0]}{d[1]}")
    maybe("BYDAY", st.one_of(days, placed) if freq in ("MONTHLY", "YEARLY") else days)
    if freq != "WEEKLY":
        maybe("BYMONTHDAY", st.sampled_from(("1", "15", "31", "-1", "28,29,30", "-3,2", "13")))
    maybe("BYHOUR", numbers(0, 23, 3))
    maybe("BYMINUTE", numbers(0, 59, 3))
    maybe("BYSECOND", numbers(0, 59, 2))
    if freq == "WEEKLY":
        maybe("WKST", st.sampled_from(WEEKDAYS))
    return ";".join(parts)


@st.composite
def any_rrules(draw: st.DrawFn, *, freqs: tuple[str, ...], most_interval: int) -> str:
    """The whole of RRULE: those above, and BYSETPOS, BYWEEKNO, BYYEARDAY, COUNT and UNTIL too."""
    text = draw(rrules(freqs=freqs, most_interval=most_interval))
    if "YEARLY" in text and not any(name in text for name in ("BYDAY", "BYMONTH")) and draw(st.booleans()):
        text += draw(
            st.sampled_from((";BYWEEKNO=1,53", ";BYWEEKNO=-1;BYDAY=SU", ";BYWEEKNO=20", ";BYYEARDAY=1,-1,100"))
        )
    if "BY" in text and "INTERVAL" not in text and draw(st.booleans()):
        text += draw(st.sampled_from((";BYSETPOS=1", ";BYSETPOS=-1", ";BYSETPOS=1,-1")))
    return text + draw(st.sampled_from(("", "", ";COUNT=50", ";UNTIL=20250101T000000Z", ";UNTIL=20250101")))


def resolve(wall: datetime, zone: str, *, gap: str, fold: str) -> list[datetime]:
    """The instants of a wall time, by asking what each of its two readings comes back as."""
    info = ZoneInfo(zone)
    readings = [wall.replace(tzinfo=info, fold=at).astimezone(UTC) for at in (0, 1)]
    is_real = [reading.astimezone(info).replace(tzinfo=None, fold=0) == wall for reading in readings]
    if not any(is_real):
        if gap == "skip":
            return []
        after_gap = max(readings)
        if gap == "shift":
            return [after_gap]
        before = min(readings)
        while after_gap - before > timedelta(seconds=1):
            middle = before + (after_gap - before) / 2
            middle = middle.replace(microsecond=0)
            if middle.astimezone(info).utcoffset() == before.astimezone(info).utcoffset():
                before = middle
            else:
                after_gap = middle
        return [after_gap]
    return {"first": readings[:1], "second": readings[1:], "both": readings}[fold]
