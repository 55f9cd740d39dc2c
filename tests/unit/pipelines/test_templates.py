"""Acceptance case 21: templates keep types alone and build text in company."""

import pytest

from pipelines.expressions import ExpressionError, compile_condition, compile_template, compile_value

CONTEXT = {
    "params": {
        "name": "John",
        "age": 30,
        "list": ["apple", "banana"],
        "enabled": True,
        "tricky": "${params.name}",
        "whole": 22.0,
        "nested": {"b": 1.0, "a": ["ț", None]},
    },
    "steps": {"weather": {"temp": 25.5}, "calendar": {"events": [{"title": "Meeting"}, {"title": "Lunch"}]}},
}


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("Hello ${params.name}, ${params.age}", "Hello John, 30"),
        ("${length(steps.calendar.events)} events", "2 events"),
        ("${steps.calendar.events[0].title}", "Meeting"),
        ("x ${params.enabled}", "x true"),
        ("${params.list}", ["apple", "banana"]),
        ("${params.age}", 30),
        ("${ params.age }", 30),
        ("${params.nowhere}", None),
        ("a ${params.tricky}", "a ${params.name}"),
        ("${params.tricky}", "${params.name}"),
        ("Ț ${params.name} 东京 مرحبا 🎉", "Ț John 东京 مرحبا 🎉"),
        ("t=${params.whole}°", "t=22°"),
        ("v=${params.nested}", 'v={"b":1,"a":["ț",null]}'),
        ("l=${params.list}", 'l=["apple","banana"]'),
        ("$${params.name}", "${params.name}"),
        ("$$${params.name}", "$${params.name}"),
        ("$5 and $", "$5 and $"),
        ("", ""),
        ("${'}'}${\"params\".age}", "}30"),
        ("${{a: {b: params.age}}.a.b}", 30),
        ('${`{"a": "}"}`.a}', "}"),
        ("${'it\\'s }'}!", "it's }!"),
        ("${default(params.nowhere, 'x')}.", "x."),
    ],
)
def test_rendering(template, rendered):
    assert compile_template(template).render(CONTEXT) == rendered


@pytest.mark.parametrize("template", ["${params.name", "a ${'}", "${", "x ${ {a: 1}"])
def test_an_unclosed_expression_is_refused_with_a_hint_to_the_escape(template):
    with pytest.raises(ExpressionError) as caught:
        compile_template(template)

    assert caught.value.code == "unclosed_template"
    assert "$${" in str(caught.value.hint)


def test_an_error_inside_a_template_names_expression_and_place():
    with pytest.raises(ExpressionError, match=r"a\.\.b") as caught:
        compile_template("text ${a..b}")

    assert caught.value.position == 9


def test_null_in_mixed_text_is_an_error_that_default_answers():
    template = compile_template("a ${params.nowhere}")

    with pytest.raises(ExpressionError) as caught:
        template.render(CONTEXT)

    assert caught.value.code == "missing_value"
    assert "default(params.nowhere" in str(caught.value.hint)


def test_values_are_rendered_through_and_keys_are_not():
    value = {"${params.age}": ["${params.age}", {"k": "n ${params.name}"}], "n": 1, "e": "$${x}"}

    rendered = compile_value(value).render(CONTEXT)

    assert rendered == {"${params.age}": [30, {"k": "n John"}], "n": 1, "e": "${x}"}


def test_a_failure_in_a_value_tells_the_way_to_it():
    compiled = compile_value({"a": [1, {"b": "x ${params.nowhere}"}]})

    with pytest.raises(ExpressionError) as caught:
        compiled.render(CONTEXT)

    assert caught.value.path == ("a", 1, "b")


def test_one_large_value_named_many_times_is_refused():
    context = {"text": "a" * 1_000_000}

    with pytest.raises(ExpressionError) as caught:
        compile_value(["${text}"] * 100).render(context)

    assert caught.value.code == "too_large"


def test_a_text_with_an_expression_in_it_is_no_condition():
    with pytest.raises(ExpressionError, match="not a condition"):
        compile_condition("${params.age} > 3")
