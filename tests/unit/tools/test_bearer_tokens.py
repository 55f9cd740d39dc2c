import pytest

from pipelines.tools.bearer_tokens import BearerTokens


def test_a_token_is_of_its_host_and_one_of_host_and_port_goes_before():
    tokens = BearerTokens.parse(["Tools.example.=abc=", "tools.example:8443=other", "[::1]:80=six"])

    assert tokens.of("tools.example", 443) == "abc="
    assert tokens.of("TOOLS.example", 8443) == "other"
    assert tokens.of("::1", 80) == "six"
    assert tokens.of("example", 443) is None


@pytest.mark.parametrize(
    "entry", ["", "hunter2", "=hunter2", "tools.example=", "a/b=hunter2", "tools.example=hunter 2"]
)
def test_what_is_no_entry_is_refused_without_the_token(entry: str):
    with pytest.raises(ValueError, match=r"entry 2|tools\.example") as caught:
        BearerTokens.parse(["other.example=x", entry])

    assert "hunter" not in str(caught.value)


def test_tokens_do_not_show():
    assert "hunter2" not in repr(BearerTokens.parse(["tools.example=hunter2"]))
