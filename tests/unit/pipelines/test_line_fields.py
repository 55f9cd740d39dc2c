"""A line with a field that nothing reads is refused, with what was meant."""

import pytest

from pipelines.management import simulation_lines
from pipelines.management.commands import evaluate
from pipelines.management.lines import LineRefused


@pytest.mark.parametrize(
    ("answer", "line", "meant"),
    [
        (evaluate.answer, {"expression": "a", "stict": True}, "strict"),
        (simulation_lines.answer, {"document": {}, "parms": {}}, "params"),
    ],
)
def test_a_misspelled_field_is_refused(answer, line, meant):
    with pytest.raises(LineRefused, match=f'did you mean "{meant}"'):
        answer(line)
