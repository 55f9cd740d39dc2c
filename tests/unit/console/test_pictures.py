"""The geometry of the chart and of the timeline, and blocks of code."""

from datetime import UTC, datetime, timedelta

from ordinaut_project.console.chart import HEIGHT, SERIES, WIDTH, hourly
from scheduling.console.code import diff_block, folded_json, json_block, yaml_block, yaml_text
from workers.console.timeline import SCALE, timeline
from workers.models import StepRun

START = datetime(2026, 3, 29, 8, tzinfo=UTC)


def step(begin: float, end: float | None, **more) -> StepRun:
    return StepRun(
        path="a",
        started_at=START + timedelta(seconds=begin),
        finished_at=None if end is None else START + timedelta(seconds=end),
        **more,
    )


def test_bars_stand_on_the_ground_and_none_is_higher_than_the_chart():
    chart = hourly({START: {"succeeded": 6, "failed": 2, "skipped": 1, "missed": 1}, START + timedelta(hours=1): {}})

    (busy, idle) = chart.bars
    assert (chart.highest, chart.total, busy.total, idle.segments) == (10, 10, 10, ())
    assert dict(zip(SERIES, busy.counts, strict=True)) == {"succeeded": 6, "in progress": 0, "other": 2, "failed": 2}
    assert busy.segments[0].y + busy.segments[0].height == HEIGHT
    assert busy.segments[-1].y == 0
    assert idle.x + idle.width <= WIDTH


def test_a_single_failure_among_thousands_is_seen():
    (bar,) = hourly({START: {"succeeded": 100_000, "failed": 1}}).bars

    assert bar.segments[-1].height == 1


def test_no_run_at_all_is_no_error():
    assert hourly({}).bars == ()
    assert hourly({START: {}}).highest == 0


def test_steps_lie_on_one_axis_from_the_start_of_the_run():
    lines = timeline([step(0, 1), step(1, 4)], started_at=START, now=START + timedelta(hours=1))

    assert [(line.x, line.width) for line in lines] == [(0, 250), (250, 750)]
    assert lines[1].offset == timedelta(seconds=1)
    assert lines[1].duration == timedelta(seconds=3)


def test_a_step_that_has_not_ended_reaches_to_now():
    (line,) = timeline([step(0, None)], started_at=START, now=START + timedelta(seconds=2))

    assert (line.x, line.width, line.duration) == (0, SCALE, timedelta(seconds=2))


def test_a_step_of_no_length_at_the_end_stays_inside():
    lines = timeline([step(0, 10), step(10, 10)], started_at=START, now=START)

    assert lines[1].width > 0
    assert lines[1].x + lines[1].width <= SCALE


def test_a_step_without_times_has_no_bar():
    (line,) = timeline([StepRun(path="a", state="skipped")], started_at=None, now=START)

    assert (line.offset, line.duration, line.width) == (None, None, 0)
    assert not line.has_more


def test_code_is_text_whatever_stands_in_it():
    block = json_block({"</pre><script>": ["<b>", 1.5, None, True, 'a " quote: 7']})

    assert "<script>" not in block
    assert "&lt;b&gt;" in block
    assert '<span class="ord-number">1.5</span>' in block
    assert '<span class="ord-word">null</span>' in block


def test_what_is_not_there_is_a_dash_and_opens_no_fold():
    assert "ord-none" in json_block(None)
    assert folded_json("Input", None) == ""
    assert "<details" in folded_json("Input", {})


def test_a_long_value_is_cut_and_says_so():
    block = json_block("x" * 100_000)

    assert "more characters" in block
    assert len(block) < 13_000


def test_a_pipeline_is_written_in_the_order_of_its_document():
    document = {"version": 1, "steps": [{"id": "a", "with": {"on": "yes", "text": "${now}"}}]}

    assert yaml_text(document).splitlines()[0] == "version: 1"
    assert '<span class="ord-text">${now}</span>' in yaml_block(document)


def test_a_difference_marks_what_came_and_went():
    block = diff_block(["@@ -1 +1 @@", "-<old>", "+<new>", " same"])

    assert '<span class="ord-diff ord-diff--del">-&lt;old&gt;</span>' in block
    assert '<span class="ord-diff ord-diff--add">+&lt;new&gt;</span>' in block
