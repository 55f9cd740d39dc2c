import json
import os
import socket

import pytest

from ordinaut_project.embedded import ports, postgres
from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.claim import MARK
from ordinaut_project.embedded.log_watch import LogWatch
from ordinaut_project.embedded.postgres import await_predecessor
from ordinaut_project.embedded.seeding import Seeded, fingerprint, read_seeded, write_seeded
from ordinaut_project.embedded.state import Credentials, State

_CREDENTIALS = Credentials(console_url="c", username="u", password="p", api_url="a", token="t")


@pytest.fixture
def state(tmp_path) -> State:
    state = State(tmp_path / "state")
    state.claim()
    state.make_folders()
    return state


def test_files_with_secrets_are_for_their_owner_alone(state):
    state.write_env({"ORDINAUT_SECRET_KEY": "secret"})
    state.write_credentials(_CREDENTIALS)

    assert state.folder.stat().st_mode & 0o777 == 0o700
    assert state.env_file.stat().st_mode & 0o777 == 0o600
    assert state.credentials_file.stat().st_mode & 0o777 == 0o600


def test_what_was_written_is_read_back(state):
    state.write_env({"REDIS_URL": "unix:///a b?db=0"})
    state.write_credentials(_CREDENTIALS)
    write_seeded(state, Seeded(fingerprint="f", briefing_task="id"))

    assert state.read_env() == {"REDIS_URL": "unix:///a b?db=0"}
    assert state.read_credentials() == _CREDENTIALS
    assert read_seeded(state) == Seeded(fingerprint="f", briefing_task="id")


def test_before_the_first_start_there_is_nothing(state):
    assert state.read_env() == {}
    assert state.read_credentials() is None
    assert read_seeded(state) is None


def test_damaged_credentials_are_refused_with_a_way_out(state):
    state.credentials_file.write_text("{")

    with pytest.raises(EmbeddedError, match="--reset"):
        state.read_credentials()


def test_a_damaged_note_of_seeding_means_seeding_again(state):
    state.seeded_file.write_text('{"other": 1}')

    assert read_seeded(state) is None


def test_reset_removes_what_is_ours_and_nothing_else(state):
    state.write_credentials(_CREDENTIALS)
    (state.mail / "1.log").write_text("mail")
    (state.folder / "notes.txt").write_text("mine")

    state.reset()

    assert sorted(path.name for path in state.folder.iterdir()) == [MARK, "notes.txt"]


def test_reset_deletes_nothing_in_a_folder_of_somebody_else(tmp_path):
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "letter").write_text("mine")

    with pytest.raises(EmbeddedError, match="not empty and was not made by `up`"):
        State(tmp_path).reset()

    assert (tmp_path / "mail" / "letter").read_text() == "mine"


def test_reset_does_not_follow_a_link_out_of_the_folder(state, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("")
    state.mail.rmdir()
    state.mail.symlink_to(elsewhere)

    state.reset()

    assert (elsewhere / "kept").exists()


def test_a_log_that_has_grown_too_large_is_put_aside(state):
    with (state.logs / "web.log").open("wb") as file:
        file.truncate(11 * 1024 * 1024)

    path = state.log("web")

    assert not path.exists()
    assert (state.logs / "web.log.old").exists()


def test_seeding_is_due_again_when_a_migration_or_an_address_changes(tmp_path):
    migrations = tmp_path / "scheduling" / "migrations"
    migrations.mkdir(parents=True)

    def digest(weather_url: str = "w") -> str:
        return fingerprint(tmp_path, database_url="d", weather_url=weather_url, examples=True)

    before = digest()

    (migrations / "0001_initial.py").write_text("")

    after = digest()
    assert after != before
    assert digest() == after
    assert digest(weather_url="x") != after


def test_a_port_in_use_is_refused_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(EmbeddedError, match=rf"^port {port} is already in use: .*--port$"):
            ports.require_free("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(EmbeddedError, match=r"cannot listen on 192\.0\.2\.1:8080"):
        ports.require_free("192.0.2.1", 8080)


def test_the_preferred_port_is_taken_when_free_and_another_when_not():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]

        chosen = ports.choose("127.0.0.1", preferred=taken)

    assert chosen != taken
    assert ports.choose("127.0.0.1", preferred=chosen) == chosen


def _entry(level: str, event: str) -> str:
    return json.dumps({"level": level, "event": event}) + "\n"


def test_only_errors_that_came_since_the_last_look_are_told(tmp_path):
    log = tmp_path / "web.log"
    log.write_text(_entry("error", "old"))
    watch = LogWatch(log)
    with log.open("a") as file:
        file.write(_entry("info", "calm") + _entry("error", "two\nlines") + "not json\n[]\n" + '{"level": "err')

    first = watch.new_errors()
    with log.open("a") as file:
        file.write('or", "event": "whole now"}\n')

    assert first == ["two lines"]
    assert watch.new_errors() == ["whole now"]
    assert watch.new_errors() == []


def test_a_storm_of_errors_is_cut_short(tmp_path):
    watch = LogWatch(tmp_path / "web.log")
    (tmp_path / "web.log").write_text("".join(_entry("error", str(number)) for number in range(20)))

    messages = watch.new_errors()

    assert messages[:4] == ["0", "1", "2", "3"]
    assert messages[4].startswith("and 16 more errors")


def test_a_pid_file_of_a_dead_server_or_of_a_stranger_is_removed(tmp_path):
    for pid in (2**22 - 1, os.getpid()):
        (tmp_path / "postmaster.pid").write_text(f"{pid}\n{tmp_path}\n")

        await_predecessor(tmp_path)

        assert not (tmp_path / "postmaster.pid").exists()


def test_a_server_that_does_not_end_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "_ORPHAN_ENDS_WITHIN", 0.0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n")

    with pytest.raises(EmbeddedError, match=f"already in use by PostgreSQL process {os.getpid()}"):
        await_predecessor(tmp_path)
