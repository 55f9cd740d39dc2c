"""Steps that run again and again: what each iteration sees, what is kept, what ends a loop."""

import pytest

from pipelines.document import Severity, validate
from tests.unit.pipelines.test_nesting import boom, clause, put, ran, switch, trace
from tests.unit.pipelines.world import CATALOG, document

S, F = "succeeded", "failed"


def each(items, *steps, **fields):
    return {"id": "each", "for_each": items, "steps": list(steps), **fields}


def loop(condition, bound, *steps, **fields):
    return {"id": "loop", "while": condition, "max_iterations": bound, "steps": list(steps), **fields}


def result(written, **options):
    return ran({**written, "outputs": {"of": f"${{steps.{written['steps'][0]['id']}}}"}}, **options)


ITEM = put("a", "${item}")
PLACE = {"id": "a", "set": {"item": "${item}", "index": "${index}"}}
ODD_FAILS = switch(("mod(item, 2) == 1", boom())) | {"id": "sw"}


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        (each([], ITEM), []),
        (each([1, None, {"x": [2]}], ITEM), [{"v": 1}, {"v": None}, {"v": {"x": [2]}}]),
        (each("${params.list}", ITEM, collect="${steps.a.v}"), [5, 6]),
        (each(["${params.list[0]}", 7], ITEM, collect="${steps.a.v}"), [5, 7]),
        (each(["x", "y"], PLACE), [{"item": "x", "index": 0}, {"item": "y", "index": 1}]),
        (each(["x"], put("a", "${city}"), **{"as": "city"}), [{"v": "x"}]),
        (each(["x"], put("a"), {"id": "b", "set": {"seen": "${steps.a.v}"}}), [{"seen": 1}]),
        (each(["x"], ITEM, collect={"${literal}": "${index}"}), [{"${literal}": 0}]),
        (each([2, 4], ODD_FAILS), [{"case": None}, {"case": None}]),
    ],
)
def test_each_item_contributes_in_the_order_of_the_list(step, kept):
    written = {**document(step), "params": {"list": [5, 6]}}

    assert result(written)["outputs"]["of"] == kept


def test_loops_nest_with_items_and_indices_of_their_own():
    inner = {
        "id": "inner",
        "for_each": "${row}",
        "steps": [{"id": "cell", "set": {"at": "${index}", "value": "${item}", "width": "${length(row)}"}}],
        "collect": "${steps.cell}",
    }
    written = result(document(each([[1], [2, 3]], inner, **{"as": "row"})))

    assert trace(written)[:3] == [
        "each[0].inner[0].cell succeeded",
        "each[0].inner succeeded",
        "each[1].inner[0].cell succeeded",
    ]
    assert written["outputs"]["of"] == [
        [{"at": 0, "value": 1, "width": 1}],
        [{"at": 0, "value": 2, "width": 2}, {"at": 1, "value": 3, "width": 2}],
    ]


@pytest.mark.parametrize(
    ("items", "most", "state", "ends"),
    [
        ([2, 1, 4], 0, F, ["each[1].boom failed", "each[1].sw failed", "each failed"]),
        ([1, 2, 3], 1, F, ["each[2].boom failed", "each[2].sw failed", "each failed"]),
        ([1, 2, 3], 2, S, ["each[2].boom failed", "each[2].sw failed", "each succeeded"]),
    ],
)
def test_so_many_iterations_may_fail_and_no_more(items, most, state, ends):
    answer = result(document(each(items, ODD_FAILS, max_failures=most)))

    assert (answer["state"], trace(answer)[-3:]) == (state, ends)
    if state == F:
        assert (answer["error"]["code"], answer["error"]["step"]) == ("broke", "boom")
    else:
        assert [sorted(each) for each in answer["outputs"]["of"]] == [["error"], ["case"], ["error"]]
        assert answer["outputs"]["of"][0]["error"]["code"] == "broke"


@pytest.mark.parametrize("items", ["${null}", "${params}", "${'text'}", "${`1`}", "${true}"])
def test_what_is_no_list_is_not_gone_over(items):
    answer = result({**document(each(items, ITEM)), "params": {"a": 1}})

    assert (answer["error"]["code"], answer["error"]["class"], answer["error"]["step"]) == (
        "not_a_list",
        "validation",
        "each",
    )


def test_a_failure_in_what_is_collected_is_one_of_the_iteration():
    answer = result(document(each([1, 0], ITEM, collect="${div(1, item)}", max_failures=1)))

    assert answer["outputs"]["of"][0] == 1
    assert answer["outputs"]["of"][1]["error"]["class"] == "expression"


COUNTED = {"id": "n", "set": {"v": "${add(default(steps.n.v, 0), 1)}"}}


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        (loop("default(steps.n.v, 0) < 3", 5, COUNTED), {"iterations": 3, "last": {"v": 3}}),
        (loop("index < 2", 2, put("a", "${index}")), {"iterations": 2, "last": {"v": 1}}),
        (loop(False, 1, put("a")), {"iterations": 0, "last": None}),
    ],
)
def test_a_condition_is_asked_before_each_iteration_and_sees_the_one_before(step, kept):
    assert result(document(step))["outputs"]["of"] == kept


def test_wanting_more_iterations_than_are_allowed_fails():
    answer = result(document(loop(True, 2, put("a"))))

    assert trace(answer) == ["loop[0].a succeeded", "loop[1].a succeeded", "loop failed"]
    assert (answer["error"]["code"], answer["error"]["class"]) == ("max_iterations", "limit")


def test_succeed_in_a_loop_ends_the_run():
    written = document(each([1, 2], {"id": "s", "succeed": {"outputs": {"at": "${item}"}}}))

    assert ran(written)["outputs"] == {"at": 1}


def test_a_caught_error_of_an_iteration_goes_on_with_the_next():
    guarded = {"id": "t", "try": [ODD_FAILS], "catch": [clause(put("c", "${e.code}"), **{"as": "e"})]}
    answer = result(document(each([1, 2], guarded, collect="${steps.c.v}")))

    assert answer["outputs"]["of"] == ["broke", None]


def test_iterations_count_among_the_steps_of_a_run():
    answer = result({**document(each(list(range(50)), ITEM)), "limits": {"max_steps": 20}})

    assert answer["error"]["code"] == "max_steps"


@pytest.mark.parametrize(
    ("written", "pointer", "code"),
    [
        (document(each([1], ITEM), put("b", "${steps.a.v}")), "/steps/1/set/v", "inside_loop"),
        (document(each([1], put("b", "${steps.c}"), put("c"))), "/steps/0/steps/0/set/v", "used_before_defined"),
        (document(put("b", "${item}")), "/steps/0/set/v", "unknown_name"),
        (document(each([1], put("b", "${item}"), **{"as": "city"})), "/steps/0/steps/0/set/v", "unknown_name"),
        (document(each("${item}", ITEM)), "/steps/0/for_each", "unknown_name"),
        (document(each([1], ITEM, **{"as": "steps"})), "/steps/0/as", "invalid_value"),
        (document(each([1])), "/steps/0/steps", "empty"),
        (document(each({}, ITEM)), "/steps/0/for_each", "wrong_type"),
        (document(each([1], ITEM, max_failures=-1)), "/steps/0/max_failures", "invalid_value"),
        (document(loop(True, 0, ITEM)), "/steps/0/max_iterations", "invalid_value"),
        (document({"id": "w", "while": True, "steps": [put("a")]}), "/steps/0", "missing_field"),
        (document(loop("steps.inner.v", 1, each([1], put("inner")))), "/steps/0/while", "inside_loop"),
        (document(each([1], put("a")), put("a")), "/steps/1/id", "duplicate_id"),
        (document(each([1], ITEM), outputs={"x": "${steps.a}"}), "/outputs/x", "inside_loop"),
    ],
)
def test_mistakes_are_told_where_they_stand(written, pointer, code):
    problems = [each for each in validate(written, catalog=CATALOG) if each.severity is Severity.ERROR]

    assert (problems[0].pointer, problems[0].code) == (pointer, code)
