"""Every example of `docs/explanation/time.md` and `policies.md` says what the code does."""

import io
import json
import re
import shlex
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import call_command

from scheduling.core.backfill import occurrences_in
from scheduling.core.planning import MisfirePolicy, OverlapDecision, Plan, decide_overlap, plan
from scheduling.core.recurrence import Exclusions, Recurrence, Rule, compile_rule
from scheduling.management.commands.previewschedule import answer_line
from scheduling.schedules.models import Schedule
from scheduling.schedules.rules import count_passed, recurrence_of

PAGES = Path(__file__).parents[3] / "docs" / "explanation"
_UNITS = {"s": timedelta(seconds=1), "min": timedelta(minutes=1), "h": timedelta(hours=1)}
_OVERLAP_POLICIES = ("allow", "skip", "queue_one", "queue_all", "cancel_running")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", (PAGES / page).read_text(), re.DOTALL)


def asked_and_answered() -> list[tuple[str, str]]:
    lines = [line for block in blocks("time.md", "jsonl") for line in block.splitlines()]
    return list(zip(lines[::2], lines[1::2], strict=True))


def parted(block: str) -> tuple[dict[str, str], list[str]]:
    """The settings above a block's empty line, and the rows below it."""
    head, _, rows = block.partition("\n\n")
    settings = [(line.split("  ", 1)[0], line.split("  ", 1)[1].strip()) for line in head.splitlines()]
    return dict(settings), rows.splitlines()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def duration(text: str) -> timedelta:
    amount, unit = text.split()
    return int(amount) * _UNITS[unit]


def recurrence(settings: dict[str, str]) -> Recurrence:
    kind, _, expression = settings["schedule"].partition(" ")
    excluded = [date.fromisoformat(day) for day in settings.get("excluded", "").split()]
    calendars = (Exclusions("excluded", days=excluded),) if excluded else ()
    ends_at = instant(settings["ends"]) if "ends" in settings else None
    return compile_rule(Rule(kind=kind, expression=expression, ends_at=ends_at, calendars=calendars))


def planned(settings: dict[str, str]) -> Plan:
    misfire = MisfirePolicy(
        policy=settings["misfire"],
        grace=duration(settings.get("grace", "60 s")),
        limit=int(settings.get("limit", 100)),
        window=duration(settings["window"]) if "window" in settings else None,
    )
    return plan(
        recurrence(settings),
        misfire=misfire,
        next_fire_at=instant(settings["mark"]),
        now=instant(settings["now"]),
        jitter=duration(settings.get("jitter", "0 s")),
        seed=settings.get("seed", ""),
        remaining=int(settings["left"]) if "left" in settings else None,
    )


def rows_of(found: Plan, settings: dict[str, str]) -> list[str]:
    """What became of each occurrence, in the page's words."""
    rule = recurrence(settings)
    fates: dict[datetime, str] = {}
    for span in found.missed:
        assert not span.at_least
        within = rule.occurrences(span.first - timedelta(microseconds=1), span.count)
        assert within[-1] == span.last
        fates |= dict.fromkeys(within, f"missed: {span.reason}")
    for firing in found.fire:
        put_off = f", starts {firing.available_at:%H:%M:%S}" if firing.available_at != firing.scheduled_for else ""
        fates[firing.scheduled_for] = ("runs late" if firing.late else "runs") + put_off
    if found.next_fire_at:
        fates[found.next_fire_at] = "is next"
    return [*shown(fates), *(["completed"] if found.is_completed else [])]


def shown(fates: dict[datetime, str]) -> list[str]:
    form = "%H:%M" if len({at.date() for at in fates}) == 1 else "%Y-%m-%d %H:%M"
    return [f"{at:{form}}  {fates[at]}" for at in sorted(fates)]


def overlapping(policy: str, due: list[datetime], takes: timedelta) -> list[str]:
    """Starts of one task as the policy decides them, each run taking as long, with workers to spare."""
    starts: dict[datetime, datetime] = {}
    canceled: dict[datetime, datetime] = {}
    held: list[datetime] = []

    def live(now: datetime) -> list[datetime]:
        return [at for at, start in starts.items() if at not in canceled and start + takes > now]

    def release(now: datetime) -> None:
        while held and starts:
            free_at = max(starts[at] + takes for at in starts)
            if free_at > now:
                return
            starts[held.pop(0)] = free_at

    for now in due:
        release(now)
        match decide_overlap(policy, live=len(live(now)), held=len(held)):
            case OverlapDecision.START:
                starts[now] = now
            case OverlapDecision.HOLD:
                held.append(now)
            case OverlapDecision.CANCEL_AND_HOLD:
                canceled |= dict.fromkeys(live(now), now)
                starts[now] = now
            case OverlapDecision.SKIP:
                pass
    release(datetime.max.replace(tzinfo=UTC))
    return [_overlap_row(at, starts.get(at), canceled.get(at)) for at in due]


def _overlap_row(at: datetime, start: datetime | None, canceled: datetime | None) -> str:
    end = f", canceled {canceled:%H:%M}" if canceled else ""
    return f"{at:%H:%M}  " + (f"starts {start:%H:%M}{end}" if start else "skipped")


@pytest.mark.parametrize(("line", "answer"), asked_and_answered())
def test_a_line_is_answered_as_the_page_shows(line, answer):
    given, expected = answer_line(line.encode()), json.loads(answer)

    if "error" in expected:  # The page shows code and field; the words of the detail are not its subject.
        given["error"] = {name: given["error"][name] for name in expected["error"]}
    assert given == expected


def test_the_command_prints_what_the_page_shows():
    (block,) = blocks("time.md", "console")
    command, _, expected = block.replace("\\\n", "").partition("\n")
    written = io.StringIO()

    call_command(*shlex.split(command)[3:], stdout=written)

    assert written.getvalue().rstrip("\n") == expected


@pytest.mark.parametrize("block", blocks("policies.md", "timeline"))
def test_a_timeline_is_what_the_plan_says(block):
    settings, rows = parted(block)

    assert rows_of(planned(settings), settings) == rows


def test_the_table_of_overlap_is_what_is_decided():
    (block,) = blocks("policies.md", "decisions")
    head, *rows = (line.split() for line in block.splitlines())

    assert head[2:] == list(_OVERLAP_POLICIES)
    assert [row[:2] for row in rows] == [["0", "0"], ["1", "0"], ["1", "1"], ["0", "1"]]
    for live, held, *decisions in rows:
        decided = [decide_overlap(policy, live=int(live), held=int(held)) for policy in _OVERLAP_POLICIES]
        assert decided == decisions


def test_every_overlap_policy_has_its_timeline():
    shown_policies = [parted(block)[0]["policy"] for block in blocks("policies.md", "overlap")]

    assert shown_policies == list(_OVERLAP_POLICIES)


@pytest.mark.parametrize("block", blocks("policies.md", "overlap"))
def test_a_timeline_of_overlap_is_what_the_decisions_come_to(block):
    settings, rows = parted(block)
    due = [instant(f"2025-06-02 {time}") for time in settings["due"].split()]

    assert overlapping(settings["policy"], due, duration(settings["run takes"])) == rows


def test_a_resumed_schedule_goes_on_as_the_page_shows():
    (block,) = blocks("policies.md", "paused")
    settings, rows = parted(block)
    kind, _, expression = settings["schedule"].partition(" ")
    schedule = Schedule(
        kind=kind,
        expression=expression,
        starts_at=datetime(2025, 1, 1),
        next_fire_at=instant(settings["mark"]),
    )
    now = instant(settings["resumed"])

    passed = count_passed(schedule, now=now, limit=100)
    following = recurrence_of(schedule).next_after(now)

    assert following is not None
    assert shown({**dict.fromkeys(passed, "missed: paused"), following: "is next"}) == rows


def test_a_backfill_has_the_occurrences_that_the_page_shows():
    (block,) = blocks("policies.md", "backfill")
    settings, rows = parted(block)

    found = occurrences_in(recurrence(settings), start=instant(settings["from"]), end=instant(settings["to"]))

    assert [f"{at:%Y-%m-%d %H:%M}" for at in found] == rows
