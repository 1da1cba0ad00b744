"""Every example runs as it stands."""

import os
import subprocess
import sys

import pytest

from .conftest import ROOT

ARGUMENTS = {
    "train_ppo.py": ["--env", "SCARA-v0", "--steps", "6400", "--eval-runs", "2"],
    "five_lines.py": [],
}
ELSEWHERE = {"deploy_to_robot.py"}
"""Needs a run and a robot: tests/test_robot.py."""


def test_every_example_is_run():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(ARGUMENTS) | ELSEWHERE


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example_runs(name, tmp_path):
    command = [sys.executable, str(ROOT / "examples" / name), *ARGUMENTS[name]]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert "mm" in done.stdout
    assert len((ROOT / "examples" / name).read_text().splitlines()) <= 80
