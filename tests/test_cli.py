import json
import os
import signal
import subprocess
import sys

import pytest

from gym_gazebo2.cli import main

SHORT = ["--steps", "800", "--num-envs", "8", "--eval-runs", "2"]
pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


def test_train_evaluate_report(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--env", "SCARA-v0", "--algo", "ppo", "--seed", "0", "--out", str(out), *SHORT]) == 0
    assert f"gym-gazebo2 evaluate {out}" in capsys.readouterr().out
    assert main(["evaluate", str(out), "--runs", "30", "--json", str(tmp_path / "result.json")]) == 0
    shown = capsys.readouterr().out
    assert "2.80 / 1.37" in shown and "accuracy, RMS [mm]" in shown and "learning_curve.png" in shown
    assert json.loads((tmp_path / "result.json").read_text())["runs"] == 30
    for name in ("learning_curve.png", "arm.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG") and (out / name).stat().st_size > 5_000
    page = (out / "report.html").read_text()
    assert page.count("data:image/webp;base64,") == 1 and "accuracy, RMS [mm]" in page
    assert main(["resume", str(out)]) == 0


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0 and main([]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("train", "resume", "evaluate"))


def test_unknown_command(capsys):
    assert main(["trian"]) == 2
    assert "no command 'trian'" in capsys.readouterr().err


def test_errors_are_one_line_and_a_status(capsys, tmp_path):
    assert main(["evaluate", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("gym-gazebo2 evaluate: ")
    with pytest.raises(SystemExit):
        main(["train", "--env", "MRA-v0"])


def test_ctrl_c_ends_cleanly_and_the_run_resumes(tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "gym_gazebo2.cli",
        "train",
        "--env",
        "SCARA-v0",
        "--steps",
        "4000000",
        "--eval-every",
        "3200",
    ]
    command += ["--out", str(out), "--checkpoint-seconds", "0.01"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    for line in process.stderr:
        if "tool error" in line and list((out / "checkpoints").glob("*.zip")):
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "gym-gazebo2 resume" in rest and "Traceback" not in rest
    assert not list(out.glob("**/.*")), "a temporary file was left"
