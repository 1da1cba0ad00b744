import contextlib
import dataclasses
import json
import os
import pty
import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import psutil
import pytest
import torch

from gym_gazebo2.algos import RunFolder
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.settings.options import join_assignments
from gym_gazebo2.cli import COMMANDS, load_command, main
from gym_gazebo2.cli.command import Command
from gym_gazebo2.registration import ENVIRONMENTS

from .processes import IN_BACKGROUND, deadline, read_until, run_process

SHORT = ["--steps", "800", "--num-envs", "8", "--eval-runs", "2"]
pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


@pytest.fixture(autouse=True)
def hangup():
    """Let SIGHUP act within a test, also where the tests themselves run under nohup and ignore it."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_train_evaluate_report(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--env", "SCARA-v0", "--algo", "ppo", "--seed", "0", "--out", str(out), *SHORT]) == 0
    assert f"gym-gazebo2 evaluate {out}" in capsys.readouterr().out
    assert main(["evaluate", str(out), "--runs", "30", "--json", str(tmp_path / "result.json")]) == 0
    shown = capsys.readouterr().out
    assert "2.80 / 1.37" in shown and "tool error, RMS [mm]" in shown and "learning_curve.png" in shown
    assert json.loads((tmp_path / "result.json").read_text())["runs"] == 30
    for name in ("learning_curve.png", "arm.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG") and (out / name).stat().st_size > 5_000
    page = (out / "report.html").read_text()
    assert page.count("data:image/webp;base64,") == 1 and "tool error, RMS [mm]" in page
    assert main(["resume", str(out)]) == 0


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0 and main([]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("train", "resume", "evaluate"))


def test_unknown_command_suggests_the_nearest(capsys):
    assert main(["trian"]) == 2
    shown = capsys.readouterr().err
    assert "no command 'trian'. Did you mean 'train'?" in shown and "evaluate" in shown


def test_unknown_option_suggests_the_nearest(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--sed", "0"])
    assert end.value.code == 2 and "--seed" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([*name.split(), "--help"])
    assert end.value.code == 0 and f"usage: gym-gazebo2 {name}" in capsys.readouterr().out
    assert issubclass(load_command(name), Command)


def test_completion_knows_every_command(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert all(word in script for name in COMMANDS for word in name.split()) and "--record" in script


def test_envs_are_listed(capsys):
    assert main(["envs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert list(rows) == list(ENVIRONMENTS)
    assert rows["MARA-v0"]["observation"] == "24" and rows["MARACollision-v0"]["reward"] == "dense, contact costs"
    assert main(["envs"]) == 0 and "SCARA4-v0" in capsys.readouterr().out


def test_a_config_file_repeats_a_run_and_options_go_before_it(tmp_path):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    assert main(["train", "--env", "SCARA-v0", "--seed", "3", "--hyper.n-epochs", "2", "--out", str(first), *SHORT]) == 0
    config = str(first / "config.json")
    assert main(["train", "--config", config, "--out", str(again)]) == 0
    assert main(["train", "--config", config, "--seed", "4", "--out", str(other)]) == 0
    runs = [RunFolder.open(path) for path in (first, again, other)]
    weights = [torch.cat([w.flatten() for w in read_model_file(run.model).weights.values()]) for run in runs]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    configs = [run.read_config() for run in runs]
    assert dataclasses.replace(configs[1], out=configs[0].out) == configs[0]
    assert configs[2].seed == 4 and configs[2].hyperparameters["n_epochs"] == 2


def test_a_yaml_file_of_options(tmp_path):
    path, out = tmp_path / "options.yaml", tmp_path / "run"
    path.write_text("env: SCARA-v0\nsteps: 800\nnum_envs: 8\neval_runs: 2\nhyperparameters: {n_epochs: 1}\n")
    assert main(["train", "--config", str(path), "--out", str(out), "--progress", "quiet"]) == 0
    assert RunFolder.open(out).read_config().hyperparameters["n_epochs"] == 1
    assert main(["resume", str(out)]) == 0


def test_keywords_of_the_environment_reach_every_command(tmp_path, capsys):
    """They are stored in the run; what a command is given goes on top of them."""
    first, again = tmp_path / "first", tmp_path / "again"
    words = ["--env.goal", "[0.3,0.1,0.3746]", "--env.start-noise=0.2", "--env.backend_options.physics_dt", "0.005"]
    assert main(["train", "--env", "SCARA-v0", *words, "--out", str(first), *SHORT]) == 0
    config = RunFolder.open(first).read_config()
    assert config.env_kwargs == {"goal": [0.3, 0.1, 0.3746], "backend_options": {"physics_dt": 0.005}}
    assert config.make_kwargs == {**config.env_kwargs, "start_noise": 0.2, "backend": "mujoco", "control": "delta",
                                  "control_dt": 0.05}  # fmt: skip
    words = ["--env.start_noise", "0.1", "--env.backend_options.physics_dt", "0.01", "--hyper.n-epochs", "1"]
    assert main(["train", "--config", str(first / "config.json"), *words, "--out", str(again)]) == 0
    config = RunFolder.open(again).read_config()
    assert config.start_noise == 0.1
    assert config.env_kwargs == {"goal": [0.3, 0.1, 0.3746], "backend_options": {"physics_dt": 0.01}}
    assert config.hyperparameters["n_epochs"] == 1
    assert main(["evaluate", "--env.start_noise", "0.05", str(first), "--runs", "2", "--env.backend", "fake"]) == 0
    stored = RunFolder.open(first).read_json("evaluation.json")
    assert (stored["backend"], stored["start_noise"], stored["env_kwargs"]) == ("fake", 0.05, {})
    for words in (["evaluate", str(first)], ["play", str(first), "--record", str(tmp_path / "arm.gif")]):
        assert main([*words, "--env.gaol", "1"]) == 2
        assert "There is no keyword of SCARA-v0 'gaol'. Did you mean 'goal'?" in capsys.readouterr().err
    goal = ["--env.goal", "[0.25,0.1,0.3746]"]
    assert main(["play", str(first), "--steps", "2", "--record", str(tmp_path / "arm.gif"), *goal]) == 0


def test_options_of_one_dictionary_may_be_repeated_and_stand_anywhere():
    words = ["--hyper", "a=1", "b=2", "--seed", "3", "--env.x", "-1", "--hyper.c-d", "4", "--env", "SCARA-v0", "--hyper=e=5"]
    assert join_assignments(words) == [
        "--seed", "3", "--env", "SCARA-v0", "--hyper", "a=1", "b=2", "c-d=4", "e=5", "--env.KEY", "x=-1"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "status", "says"), [("sed: 1", 2, "'seed'"), ("- 1", 1, "expected a mapping"), ("a: [", 1, "Cannot read")]
)
def test_config_files_that_cannot_be(tmp_path, capsys, content, status, says):
    path = tmp_path / "options.yaml"
    path.write_text(content)
    assert main(["train", "--config", str(path)]) == status
    assert says in capsys.readouterr().err


def test_export_and_play(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--env", "SCARA-v0", "--out", str(out), *SHORT]) == 0
    assert main(["export", str(out)]) == 0
    assert (out / "policy.onnx").is_file() and "policy.onnx" in capsys.readouterr().out
    assert main(["play", str(out), "--steps", "5", "--record", str(tmp_path / "arm.gif")]) == 0
    assert "5 steps" in capsys.readouterr().out and (tmp_path / "arm.gif").is_file()


def test_output_that_nobody_reads_is_no_error():
    command = f"{sys.executable} -m gym_gazebo2.cli envs --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "{" and done.stderr == ""


def test_errors_are_one_line_and_a_status(capsys, tmp_path):
    assert main(["evaluate", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("gym-gazebo2 evaluate: ")
    assert main(["train", "--env", "MRA-v0"]) == 2
    assert capsys.readouterr().err.startswith("gym-gazebo2 train: There is no environment id 'MRA-v0'. Did you mean 'MARA-v0'?")


def test_a_period_between_physics_steps_is_refused_by_names_of_what_takes_another(capsys, tmp_path):
    assert main(["train", "--env", "SCARA-v0", "--control-dt", "0.051", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "such as 0.05, or another physics step (gym.make: backend_options=" in error
    assert "gym-gazebo2 sim: --physics-dt" in error


@contextlib.contextmanager
def start_training(out, *words, before=(), **options):
    """Yield a training, a group of its own as in a terminal, once it has shown its first evaluation."""
    command = [sys.executable, "-m", "gym_gazebo2.cli", "train", "--env", "SCARA-v0", "--steps", "4000000", "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    options = {"stderr": subprocess.PIPE, "text": True, "env": environment, **options}
    with run_process([*before, *command, *words], **options) as process:
        shown = read_until(process, process.stderr, "tool error")
        assert "tool error" in shown, shown
        yield process


RARELY = ("--checkpoint-seconds", "1e6", "--num-envs", "2", "--hyper", "batch_size=100")
"""A checkpoint is written only when the training is asked to end."""


@pytest.mark.parametrize("vec", ["batched", "subproc"])
@pytest.mark.parametrize(("signum", "before"), [(signal.SIGINT, IN_BACKGROUND), (signal.SIGTERM, ()), (signal.SIGHUP, ())])
def test_a_signal_saves_and_the_run_resumes(tmp_path, vec, signum, before):
    """The signal reaches every process of the group, as from a terminal or a batch system."""
    out = tmp_path / "run"
    with start_training(out, *RARELY, "--vec", vec, before=before) as process:
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signum)
        rest = process.communicate(timeout=60)[1]
        assert process.returncode == 128 + signum and "finishing this iteration" in rest and "Traceback" not in rest
        assert (len(workers) > 2) == (vec == "subproc") and not psutil.wait_procs(workers, timeout=10)[1]
    assert f"gym-gazebo2 resume {out}" in rest
    assert len(list((out / "checkpoints").glob("*.zip"))) == 1 and not list(out.glob("**/.*"))


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    with start_training(tmp_path / "run", "--num-envs", "1", "--hyper", "n_steps=1000000") as process:
        os.killpg(process.pid, signal.SIGTERM)
        assert "SIGTERM: finishing this iteration" in read_until(process, process.stderr, "finishing this iteration")
        os.killpg(process.pid, signal.SIGTERM)  # as timeout and make repeat it; it changes nothing
        os.killpg(process.pid, signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in rest
    said = f"gym-gazebo2 train: interrupted by SIGINT. Resume with: gym-gazebo2 resume {tmp_path / 'run'}"
    assert rest.splitlines()[-1] == said


def test_nohup_ignores_the_end_of_the_terminal(tmp_path):
    with start_training(tmp_path / "run", *RARELY, before=("env", "--ignore-signal=HUP")) as process:
        os.killpg(process.pid, signal.SIGHUP)
        os.killpg(process.pid, signal.SIGTERM)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and "SIGTERM: finishing" in rest


def test_a_terminal_that_closes_saves(tmp_path):
    """The kernel sends SIGHUP, and every write to the terminal fails from then on."""
    ours, theirs = pty.openpty()
    out = tmp_path / "run"
    words = ["train", "--env", "SCARA-v0", "--steps", "4000000", "--out", str(out), *RARELY]
    attach = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", attach, sys.executable, "-m", "gym_gazebo2.cli", *words]
    with run_process(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        with deadline(process):
            shown = b""
            while b"steps/s" not in shown:
                shown += os.read(ours, 65536)
        os.close(ours)
        assert process.wait(60) == 129
    assert len(list((out / "checkpoints").glob("*.zip"))) == 1


@pytest.mark.parametrize("redirect", [">&-", "<&- >&- 2>&-"])
def test_a_training_without_standard_streams(tmp_path, redirect):
    words = f"-m gym_gazebo2.cli train --env SCARA-v0 --steps 800 --num-envs 8 --eval-runs 2 --out {tmp_path / 'run'}"
    with run_process(["bash", "-c", f"exec {sys.executable} {words} {redirect}"]) as process:
        assert process.wait(60) == 0
    assert RunFolder.open(tmp_path / "run").model.is_file()


def test_a_pipe_that_nobody_reads_does_not_stop_a_training(tmp_path):
    """Neither the training, which reports its progress there, nor SIGTERM."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    out = tmp_path / "run"
    words = ["train", "--env", "SCARA-v0", "--steps", "4000000", "--out", str(out), *RARELY]
    with run_process([sys.executable, "-m", "gym_gazebo2.cli", *words], stdout=writer, stderr=writer) as process:
        os.close(writer)
        end = time.monotonic() + 60
        while not (out / "progress.csv").exists() or (out / "progress.csv").read_text().count("\n") < 5:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == 143
    os.close(reader)
    assert len(list((out / "checkpoints").glob("*.zip"))) == 1


@pytest.mark.parametrize(("signum", "before"), [(signal.SIGINT, IN_BACKGROUND), (signal.SIGTERM, ())])
def test_commands_that_work_end_on_a_signal(tmp_path, signum, before):
    """An evaluation of many runs and a film of many steps: no traceback, nothing left running."""
    out = tmp_path / "run"
    assert main(["train", "--env", "SCARA-v0", "--out", str(out), *SHORT, "--progress", "quiet"]) == 0
    film = ("play", str(out), "--steps", "1000000", "--record", str(tmp_path / "arm.gif"))
    for words in (("evaluate", str(out), "--runs", "100000"), film):
        command = [*before, sys.executable, "-X", "importtime", "-m", "gym_gazebo2.cli", *words]
        with run_process(command, stderr=subprocess.PIPE, text=True) as process:
            assert "mujoco" in read_until(process, process.stderr, "gym_gazebo2.backends.mujoco.backend")
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signum)
            rest = process.communicate(timeout=60)[1]
        assert process.returncode == 128 + signum, rest
        assert "Traceback" not in rest and f"interrupted by {signum.name}." in rest.splitlines()[-1]
        assert not psutil.wait_procs(children, timeout=10)[1]


@pytest.mark.parametrize(("where", "is_made"), [("create", False), ("hold", True)])
def test_an_interrupted_start_names_a_run_where_one_was_made(tmp_path, capsys, monkeypatch, where, is_made):
    monkeypatch.setattr(RunFolder, where, Mock(side_effect=KeyboardInterrupt))
    assert main(["train", "--env", "SCARA-v0", "--out", str(tmp_path / "run"), *SHORT]) == 130
    said = f" Resume with: gym-gazebo2 resume {tmp_path / 'run'}" if is_made else ""
    assert capsys.readouterr().err.splitlines()[-1] == f"gym-gazebo2 train: interrupted by SIGINT.{said}"
    assert (tmp_path / "run").exists() == is_made
