from pathlib import Path

import pytest

from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.claim import MARK, claim, require_claimable


def _mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o7777


def test_a_missing_folder_is_made_private_and_marked(tmp_path):
    folder = tmp_path / "new" / "state"

    claim(folder)

    assert _mode(folder) == 0o700
    assert (folder / MARK).exists()


def test_an_empty_folder_of_ours_is_taken(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir(mode=0o755)

    claim(folder)

    assert _mode(folder) == 0o700
    assert (folder / MARK).exists()


def test_a_folder_taken_once_is_ours_for_good_and_closed_again(tmp_path):
    folder = tmp_path / "state"
    claim(folder)
    (folder / "notes.txt").write_text("mine")
    folder.chmod(0o755)

    claim(folder)

    assert _mode(folder) == 0o700


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("env", "# Written by `manage.py up` at each start; settings read it where DATABASE_URL is unset.\n"),
        ("seeded", '{"fingerprint": "f", "briefing_task": ""}\n'),
    ],
)
def test_a_folder_of_a_start_before_the_mark_is_ours(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "postgres").mkdir()

    claim(tmp_path)

    assert (tmp_path / MARK).exists()


@pytest.mark.parametrize("name", ["thesis.tex", "env", "seeded"])
def test_a_folder_with_files_of_somebody_is_refused_and_left_as_it_is(tmp_path, name):
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / name).write_text("mine")

    with pytest.raises(EmbeddedError, match=r"not empty and was not made by `up`: .*--data-dir$"):
        claim(folder)

    assert _mode(folder) == 0o755
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("mode", [0o1777, 0o1755, 0o777])
def test_an_empty_folder_that_is_open_to_everybody_is_refused(tmp_path, mode):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)

    with pytest.raises(EmbeddedError, match="open to every user's files"):
        claim(folder)

    assert _mode(folder) == mode
    assert list(folder.iterdir()) == []


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid + 1)

    with pytest.raises(EmbeddedError, match="belongs to another user"):
        claim(tmp_path)


def test_looking_changes_nothing(tmp_path):
    require_claimable(tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_a_file_in_place_of_the_folder_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedError, match="cannot be used: Not a directory"):
        claim(tmp_path / "file")
