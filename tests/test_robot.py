"""MARAReal-v0 and the way of a trained policy to the robot; the real-time provider stands in for the robot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.algos import TrainConfig, train
from gym_gazebo2.robots import make_robot

from .conftest import ROOT
from .gazebo_client import Client, get_q
from .processes import read_until, run_process
from .sim_process import Sim, run_sim

DEPLOY = ROOT / "examples" / "deploy_to_robot.py"
PATIENT = {"stale_after": 5.0, "reset_speed": 1.0}
MARA = make_robot("mara")


@pytest.fixture(scope="module")
def robot() -> Iterator[Sim]:
    with run_sim("mara", "--real-time", "--robot-only", "--control-dt", "0.025") as sim:
        yield sim


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "real"
    config = TrainConfig(env="MARAReal-v0", backend="mujoco", steps=6400, eval_runs=2, out=str(path), progress=False)
    train(config)
    return path


@pytest.fixture
def observer(robot: Sim) -> Iterator[Client]:
    """Looks at the robot from beside, as an emergency stop would."""
    client = Client(robot.domain, "mara", MARA.joint_names, observes=True)
    yield client
    client.close()


@contextmanager
def deploy(run: Path, robot: Sim, *args: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(DEPLOY), str(run), "--stale-after", "5", "--reset-speed", "1", *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ROS_DOMAIN_ID": str(robot.domain)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with run_process(command, **options) as process:
        yield process


def test_the_id_is_the_robot(robot: Sim) -> None:
    env = gym.make("MARAReal-v0", backend_options={**PATIENT, "domain_id": robot.domain})
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation) and observation.shape == (12,) and info["time"] == 0.0
    for k in range(1, 11):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation) and np.isfinite(reward) and not (terminated or truncated)
        assert info["time"] >= 0.05 * k - 1e-9 and not info["in_collision"]
    assert env.unwrapped.core.backend.lock_step is False
    env.close()


def test_a_policy_runs_on_the_robot_and_the_arm_stays_at_its_end(run: Path, robot: Sim, observer: Client) -> None:
    with deploy(run, robot, "--steps", "30") as done:
        output, error = done.communicate(timeout=120)
    assert done.returncode == 0, error
    assert "Going home" in output and "mm after" in output
    observer.states.clear()
    assert observer.spin_until(lambda: len(observer.states) > 20)
    at_end = np.array([get_q(state) for state in observer.states])
    assert np.ptp(at_end, axis=0).max() < 0.02


def test_a_speed_that_cannot_be_ends_in_a_sentence(run: Path, robot: Sim) -> None:
    with deploy(run, robot, "--reset-speed", "7") as done:
        error = done.communicate(timeout=60)[1]
    assert done.returncode == 1 and error.startswith("reset_speed is 7.0, expected") and error.count("\n") == 1


def test_ctrl_c_ends_in_a_hold(run: Path, robot: Sim, observer: Client) -> None:
    with deploy(run, robot, "--steps", "100000") as process:
        assert "Running" in read_until(process, process.stdout, "Running")
        observer.states.clear()
        assert observer.spin_until(lambda: len(observer.states) > 10)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=30)[1]
        assert process.returncode == 1 and "the arm holds" in error and "Traceback" not in error
    observer.states.clear()
    assert observer.spin_until(lambda: len(observer.states) > 20)
    assert np.ptp([get_q(state) for state in observer.states], axis=0).max() < 0.02
    assert np.abs(observer.states[-1].velocity).max() < 0.05
