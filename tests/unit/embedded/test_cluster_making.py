"""Making a PostgreSQL cluster, without one: what runs is a program of the test."""

import sys
from pathlib import Path

import pytest

from ordinaut_project.embedded import postgres
from ordinaut_project.embedded.binaries import EmbeddedError
from ordinaut_project.embedded.postgres import Postgres


def _stand_in(monkeypatch, folder: Path, source: str) -> None:
    program = folder / "initdb"
    program.write_text(f"#!{sys.executable}\nimport os, sys, time\n{source}\n")
    program.chmod(0o700)
    monkeypatch.setattr(postgres, "postgres_program", lambda name: program)
    monkeypatch.setattr(postgres, "unprivileged_prefix", tuple)


def test_a_stop_asked_while_the_cluster_is_made_leaves_nothing_and_is_no_error(tmp_path, monkeypatch):
    _stand_in(monkeypatch, tmp_path, "os.mkdir(sys.argv[1].partition('=')[2]); time.sleep(60)")
    cluster = Postgres(tmp_path / "cluster")

    made = cluster.prepare(should_stop=lambda: any(cluster.folder.glob("unfinished-*")))

    assert not made
    assert not cluster.data.exists()
    assert not any(cluster.folder.glob("unfinished-*"))


def test_a_cluster_that_cannot_be_made_is_told_with_the_last_line(tmp_path, monkeypatch):
    _stand_in(monkeypatch, tmp_path, "sys.exit('first\\nno space left')")

    with pytest.raises(EmbeddedError, match=r"^initdb failed: no space left$"):
        Postgres(tmp_path / "cluster").prepare()
