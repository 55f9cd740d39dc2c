"""From text to value: YAML 1.2 with the core schema, JSON without its loopholes."""

import pytest

from pipelines.document import DocumentInvalid, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: [transient]", {"on": ["transient"]}),
        ("a: NO", {"a": "NO"}),
        ("a: yes", {"a": "yes"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: 010", {"a": 10}),
        ("a: 0o17", {"a": 15}),
        ("a: 0x1F", {"a": 31}),
        ("a: 1_000", {"a": "1_000"}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: '1'", {"a": "1"}),
        ('a: "true"', {"a": "true"}),
        ("a: [True, FALSE, Null, ~]", {"a": [True, False, None, None]}),
        ("a:", {"a": None}),
        ("1: x\ntrue: y", {"1": "x", "true": "y"}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ('{"a": [1, 2.5, "ț"]}', {"a": [1, 2.5, "ț"]}),
        ("{a: b, c: [d]}", {"a": "b", "c": ["d"]}),
        (b"\xef\xbb\xbfa: 1", {"a": 1}),
    ],
)
def test_what_texts_mean(text, value):
    found = parse(text)

    assert found == value
    assert repr(found) == repr(value)


NESTED = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("a: 1\na: 2", "malformed", "line 2: the key 'a' occurs twice"),
        ('{"a": 1, "a": 2}', "duplicate_key", "'a' occurs twice"),
        ("a: !!python/object:os.system x", "malformed", "tag"),
        ("a: 1\n---\nb: 2", "malformed", "second document"),
        ("a: &x [*x]", "malformed", "repeats nothing"),
        ("a: *nowhere", "malformed", "repeats nothing"),
        (NESTED, "malformed", "100000 values"),
        ("a: " + "[" * 70 + "]" * 70, "malformed", "64 levels"),
        ("[" * 70 + "]" * 70, "unusable_value", "64 levels"),
        ("[" * 100_000, "too_deep", "64 levels"),
        ("a: .inf", "malformed", "no JSON number"),
        ('{"a": NaN}', "unusable_value", "NaN"),
        ('{"a": 1e999}', "unusable_value", "inf"),
        ('{"a": 9007199254740993}', "integer_too_large", "2^53"),
        ('{"a": 123456789012345678901234}', "integer_too_large", "2^53"),
        ("a: 9007199254740993", "integer_too_large", "2^53"),
        ('{"a": "\\ud800"}', "lone_surrogate", "surrogate"),
        ('{"a": "\\u0000"}', "nul_character", "NUL"),
        ('{"a\\u0000": 1}', "nul_character", "NUL"),
        ('a: "\\0"', "nul_character", "NUL"),
        ("a: b\0", "nul_character", "NUL"),
        ("a: [1,\nb: }", "malformed", "line 2"),
        ('{"a": 1 "b": 2}', "malformed", "line 1, column 9"),
        ("? [a]\n: 1", "malformed", "plain text"),
        (b"\xff\xfe", "not_utf8", "byte 0"),
        ("a: " + "x" * 1024 * 1024, "too_large", "1048576"),
    ],
)
def test_what_texts_are_refused(text, code, said):
    with pytest.raises(DocumentInvalid) as caught:
        parse(text)

    assert caught.value.problems[0].code == code
    assert said in caught.value.problems[0].detail
