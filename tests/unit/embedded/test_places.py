import subprocess
import sys
from pathlib import Path

import pytest

from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.places import FolderLock, make_private, socket_folder

_HOLDER = """
import sys
from pathlib import Path
from ordinaut_project.embedded.places import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_short_path_keeps_its_sockets_beside_the_data(tmp_path):
    wanted = Path("/tmp") / f"o-{tmp_path.name}"[:40]

    folder = socket_folder(wanted, longest_name="s")

    assert folder == wanted.resolve()
    folder.rmdir()


def test_a_long_path_moves_its_sockets_to_a_short_private_folder(tmp_path):
    wanted = tmp_path / ("long" * 30)

    folder = socket_folder(wanted, longest_name=".s.PGSQL.5432")

    assert len(str(folder / ".s.PGSQL.5432")) <= 107
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder == socket_folder(wanted, longest_name=".s.PGSQL.5432")
    folder.rmdir()


def test_a_socket_folder_planted_as_a_link_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    wanted = tmp_path / ("planted" * 20)
    folder = socket_folder(wanted, longest_name="s")
    folder.rmdir()
    folder.symlink_to(tmp_path)

    with pytest.raises(EmbeddedError, match="belongs to somebody else"):
        socket_folder(wanted, longest_name="s")

    folder.unlink()


def test_a_private_folder_is_closed_to_others_even_when_it_was_open(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)

    make_private(folder)

    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_under_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedError, match="cannot be used: Not a directory"):
        make_private(tmp_path / "file" / "folder")


def test_a_held_folder_is_refused_and_names_its_holder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        with pytest.raises(EmbeddedError, match=f"already in use by process {holder.pid}$"):
            FolderLock(tmp_path).acquire()
        with pytest.raises(EmbeddedError, match=f"already in use by process {holder.pid}$"):
            FolderLock(tmp_path).require_free()


def test_looking_for_a_holder_leaves_no_lock_behind(tmp_path):
    FolderLock(tmp_path).require_free()

    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_leaves_the_folder_free(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()

    lock = FolderLock(tmp_path)
    lock.acquire()

    lock.release()
