"""Folders that end with their owner, however it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gym_gazebo2.gazebo.folders import OwnedFolder

from .processes import read_until, run_process

OWN = """
import os, sys
from pathlib import Path
from gym_gazebo2.gazebo.folders import OwnedFolder
folder = OwnedFolder(Path(sys.argv[1]), "own-")
(folder.path / "home").mkdir()
print(folder.path, flush=True)
sys.stdin.read()
"""


@contextmanager
def start_owner(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    command = [sys.executable, "-c", OWN, str(parent)]
    with run_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        yield owner, Path(read_until(owner, owner.stdout, "own-").strip())


def test_what_a_killed_owner_left_is_removed_by_the_next_and_the_living_keep_theirs(tmp_path: Path) -> None:
    (tmp_path / "own-log.log").write_text("kept")
    living = OwnedFolder(tmp_path, "own-")
    with start_owner(tmp_path) as (owner, theirs):
        assert living.path.is_dir() and (theirs / "home").is_dir(), "a start removes nobody's living folder"
        owner.kill()
        owner.communicate(timeout=10)
    assert theirs.is_dir()
    OwnedFolder(tmp_path, "own-").remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.path.name, "own-log.log"])
    living.remove()
    living.remove()
    assert not living.path.exists()


def test_one_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="no locks here"):
        OwnedFolder(tmp_path, "own-")
    assert not list(tmp_path.iterdir())
