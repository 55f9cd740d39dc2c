"""The options of `make torture`: what would try nothing is refused."""

import pytest

from tests import torture
from tests.chaos.__main__ import parser


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "worker.kil1"], "no kind of fault begins with worker.kil1; there are worker.kill, "),
        (["--only", "worker,nothing"], "begins with nothing;"),
        (["--rounds", "0"], "--rounds"),
        (["tests", "--rounds", "0"], "--rounds"),
    ],
)
def test_what_would_try_nothing_is_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        torture.main(arguments)

    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_kinds_are_named_by_their_beginning():
    assert parser().parse_args(["--only", "worker, network.slow"]).only == ("worker", "network.slow")
