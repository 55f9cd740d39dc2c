"""Expressions over the context of acceptance cases 21 and 22: values, truth, errors, bounds."""

import time

import pytest

from pipelines.expressions import ExpressionError, Reference, compile_condition, compile_expression

CONTEXT = {
    "params": {"enabled": True, "count": 5, "threshold": 20, "none": None, "list": [3, 1, 2], "zero": 0, "text": ""},
    "steps": {
        "weather": {"temp": 25},
        "calendar": {"events": [{"title": "Meeting", "n": 1}, {"title": "Lunch", "n": 2}]},
    },
}


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        ("params.enabled", True),
        ("params.count > `3`", True),
        ("params.count > 3", True),
        ("params.count > `10`", False),
        ("steps.weather.temp > params.threshold", True),
        ("length(steps.calendar.events) > `1`", True),
        ("${length(steps.calendar.events) > 1}", True),
        ("params.nowhere", False),
        ("steps.nowhere.at.all > 3", False),
        ("params.zero", True),
        ("params.text", False),
        ("`[]`", False),
        ("`{}`", False),
        ("null", False),
        ("!params.zero", False),
        ("params.enabled == true && params.none == null", True),
        ("'b' > 'a'", True),
        ("params.count > 'a'", False),
    ],
)
def test_conditions(condition, truth):
    """Acceptance case 22."""
    assert compile_condition(condition).is_true(CONTEXT) is truth


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("steps.calendar.events[?n > 1].title", ["Lunch"]),
        ("steps.calendar.events[*].title | [0]", "Meeting"),
        ("steps.calendar.events[-1].{title: title, half: div(n, 2)}", {"title": "Lunch", "half": 1}),
        ("[1, 2.5, -3, true, null]", [1, 2.5, -3, True, None]),
        ("[1e3, -2.5E-1]", [1000.0, -0.25]),
        ("params.list[1]", 1),
        ("params.list[::-1]", [2, 1, 3]),
        ("{a: {b: 1}}.a.b", 1),
        ("params.count > 'a'", None),
        ("1 == true", False),
        ("`[0]` == [false]", False),
        ("[0]", None),
        ("{a: 1} == {a: 1.0}", True),
        ("params.true", None),
        ('"true"', None),
        ("contains(`[0]`, false)", False),
        ("sort_by(steps.calendar.events, &n)[0].title", "Meeting"),
        ("to_string('°')", "°"),
        ("to_string({a: '°', b: 2.0})", '{"a":"°","b":2}'),
        ("if_else(params.none == null, 'x', div(1, 0))", "x"),
        ("default(params.none, default(params.nowhere, 7))", 7),
    ],
)
def test_values(expression, value):
    assert compile_expression(expression).evaluate(CONTEXT) == value


@pytest.mark.parametrize(
    ("expression", "code", "position"),
    [
        ("invalid..expression", "syntax", 8),
        ("a[", "syntax", 2),
        ("", "syntax", 0),
        ("a b", "syntax", 2),
        ("1 - 2", "syntax", 2),
        ("f(a b)", "syntax", 4),
        ("length(a,)", "syntax", 9),
        ("&a", "syntax", 0),
        ("a[1.5]", "syntax", 2),
        ("'open", "syntax", 0),
        ("1e999", "syntax", 0),
        ("nope(1)", "unknown_function", None),
        ("length()", "invalid_arity", None),
        ("pad('a')", "invalid_arity", None),
        ("length(&a)", "bad_argument", None),
        ("map(a, b)", "bad_argument", None),
        ("a[::0]", "bad_argument", None),
    ],
)
def test_what_is_wrong_whatever_the_data_is_found_at_compilation(expression, code, position):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(expression)

    assert (caught.value.code, caught.value.position) == (code, position)


def test_an_error_names_the_expression():
    """Acceptance case 21."""
    with pytest.raises(ExpressionError, match=r"a\.\.b"):
        compile_expression("a..b")


def test_an_unknown_function_is_answered_by_a_near_one():
    with pytest.raises(ExpressionError) as caught:
        compile_expression("lenght(a)")

    assert caught.value.hint == "did you mean 'length'?"


@pytest.mark.parametrize(
    ("expression", "detail"),
    [
        ("add('a', 1)", "add() takes number as its first argument, not string"),
        ("upper(`1`)", "upper() takes string as its first argument, not number"),
        ("params.list[?upper(`null`) == 'X']", "not null"),
        ("upper(length(params.list))", "not the number of length()"),
        ("add(1, upper(params.city))", "second argument, not the string of upper()"),
        ("join(', ', [upper(`1`)])", "upper() takes string"),
        ("map(&upper(`1`), params.list)", "upper() takes string"),
        ("regex_match(params.city, '(')", "is no pattern"),
        ("regex_replace(params.city, 'a++', 'b')", "is no pattern"),
        ("date_add(now, 'PT1X')", "'PT1X'"),
        ("date_add('tomorrow', 'PT1H')", "no ISO 8601"),
        ("date_diff(now, event.at, 'fortnights')", "no unit 'fortnights'"),
        ("format_date(now, '%Q')", "no directive %Q"),
        ("format_date(now, '%Y', 'Mars/Olympus')", "no time zone 'Mars/Olympus'"),
        ("start_of(now, 'decade')", "no unit 'decade'"),
        ("to_zone(now, 'Chisinau')", "no time zone 'Chisinau'"),
    ],
)
def test_a_call_that_can_only_fail_does_not_compile(expression, detail):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(expression)

    assert caught.value.code == "bad_argument"
    assert detail in caught.value.detail
    assert caught.value.hint


@pytest.mark.parametrize(
    "expression",
    [
        "upper(params.none)",
        "upper(default(params.none, 'x'))",
        "length(unique(params.list))",
        "length(upper(params.city))",
        "join(', ', map(&upper(@), params.list))",
        "if_else(params.none == null, 'x', div(1, 0))",
        "max(params.list)",
        "to_number('x')",
        "date_add(now, params.city, 'Europe/Chisinau')",
        "parse_date('6.1.2025', '%d.%m.%Y')",
        "regex_match(params.city, '^[a-z]+$')",
    ],
)
def test_a_call_that_may_come_out_right_compiles(expression):
    assert compile_expression(expression).text == expression


@pytest.mark.parametrize(
    "expression",
    [
        "add(params.city, 1)",
        "div(1, 0)",
        "mul(9007199254740992, 2)",
        "sum_by(params.list, &a)",
        "regex_match('a', join('', ['(']))",
        "upper(params.none)",
    ],
)
def test_a_domain_error_is_an_error_of_evaluation(expression):
    compiled = compile_expression(expression)

    with pytest.raises(ExpressionError) as caught:
        compiled.evaluate(CONTEXT)

    assert caught.value.code == "bad_argument"


BIG = {"list": list(range(20_000)), "text": "a" * 5_000_000}

BOMBS = {
    "doubling": "[@, @] | " * 60 + "[@, @]",
    "doubling then text": "[@, @] | " * 30 + "to_string(@)",
    "doubling then equality": "[@, @] | " * 30 + "[@ == @, 1]",
    "product": "map(&length(range(50000)), list)",
    "range": "range(1000000000)",
    "growing text": "text | join(@, [@, @, @, @]) | join(@, [@, @, @, @]) | join(@, [@, @, @, @])",
    "replacement": "replace(text, 'a', text)",
    "padding": "pad('a', 1000000000)",
    "pattern": "regex_replace(text, 'a', '\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0')",
    "nesting": "(" * 1000 + "a" + ")" * 1000,
    "negation": "!" * 1500 + "a",
    "chain": "||".join("a" * 600),
    "literal": "`" + "[" * 1000 + "]" * 1000 + "`",
    "digits": "9" * 2000,
    "long": "a." * 1100 + "a",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stops_within_its_bounds(name):
    """The budget is 50 ms of a free processor; the best of a few turns is what a busy machine stretches least."""
    took = []
    for _ in range(5):
        started = time.thread_time()
        with pytest.raises(ExpressionError) as caught:
            compile_expression(BOMBS[name]).evaluate(BIG)
        took.append(time.thread_time() - started)
        assert caught.value.code in {"too_expensive", "too_large", "too_complex", "syntax", "bad_argument"}

    assert min(took) < 0.1


def test_a_pattern_that_makes_others_backtrack_takes_linear_time():
    started = time.process_time()

    found = compile_expression("regex_match(text, '(a+)+$b')").evaluate(BIG)

    assert found is False
    assert time.process_time() - started < 1


def test_deep_data_is_refused_instead_of_overflowing_the_stack():
    deep: list[object] = []
    for _ in range(3000):
        deep = [deep]

    with pytest.raises(ExpressionError) as caught:
        compile_expression("a == b").evaluate({"a": deep, "b": [deep]})

    assert caught.value.code == "too_complex"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("steps.a.b", {("steps", "a")}),
        ("steps.a[0].b", {("steps", "a")}),
        ("steps.a[*].b", {("steps", "a")}),
        ("steps.a[?x > y].z", {("steps", "a")}),
        ("steps.*", {("steps", None)}),
        ("length(steps.a) > params.n", {("steps", "a"), ("params", "n")}),
        ("steps.a | b", {("steps", "a")}),
        ("map(&b, steps.a)", {("steps", "a")}),
        ("[event, {k: now}]", {("event", None), ("now", None)}),
        ("join(', ', steps.a.items[].title)", {("steps", "a")}),
        ("'steps.a'", set()),
        ("keys(@)", {("@", None)}),
        ("@.run | id", {("run", "id")}),
        ("[*].id", {("@", None)}),
        ("*.id", {("@", None)}),
        ("map(&@, steps.a)", {("steps", "a")}),
        ("steps.a[?@ > `1`]", {("steps", "a")}),
        ("@.steps.a", {("steps", "a")}),
        ("@ | @.steps | @.a.b", {("steps", "a")}),
        ("steps | a", {("steps", "a")}),
        ("steps.{x: a, y: b.c}", {("steps", "a"), ("steps", "b")}),
        ("steps.[a, @.b, @]", {("steps", "a"), ("steps", "b"), ("steps", None)}),
        ("steps | a || b", {("steps", "a"), ("steps", "b")}),
        ("steps.length(a)", {("steps", "a")}),
        ("steps.a.{x: b, y: c}", {("steps", "a")}),
        ("steps | `1`", {("steps", None)}),
        ("steps.a || steps | b", {("steps", "a"), ("steps", None)}),
        ("!@", {("@", None)}),
        ("!steps", {("steps", None)}),
    ],
)
def test_references_are_what_is_read_from_the_context(expression, found):
    assert compile_expression(expression).references == {Reference(*each) for each in found}
