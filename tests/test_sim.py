"""``gym-gazebo2 sim`` as a user runs it: what it says, how it ends, what it leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time

import gymnasium as gym
import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.backends import make_backend
from gym_gazebo2.cli import main
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.gazebo.serve import find_simulator
from gym_gazebo2.robots import make_robot
from gym_gazebo2.sim import SimConfig, describe, parse, simulate

from .arms import make_row
from .sim_process import run_sim
from .simulator import SIMULATOR

ONE = np.ones(1, dtype=bool)


def get_children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("provider", ["mujoco", SIMULATOR])
def test_what_it_says_is_enough_to_connect_and_it_ends_cleanly(
    provider: str, signum: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sim("scara", "--provider", provider, "--control-dt", "0.02") as sim:
        assert f"scara, {provider}, in lock-step" in sim.shown
        monkeypatch.setenv("ROS_DOMAIN_ID", str(sim.domain))
        [line] = [line for line in sim.shown.splitlines() if "gymnasium.make" in line]
        env = eval(line.partition("=")[2], {"gymnasium": gym})
        env.reset(seed=0)
        info = env.step(env.action_space.sample())[-1]
        assert info["time"] == pytest.approx(0.02)
        env.close()
        left = get_children(sim.process.pid)
        assert bool(left) == (provider == SIMULATOR)
        status, error = sim.end(signum)
    assert status == 0 and "Traceback" not in error
    assert not psutil.wait_procs(left, timeout=1)[1]


@pytest.mark.parametrize("provider", ["mujoco", SIMULATOR])
def test_serves_an_arm_from_its_file(provider: str) -> None:
    row = dataclasses.replace(make_row("so101"), mount_height=0.2)
    robot = make_robot(row)
    arguments = ["--tool-frame", "gripper_frame_link", "--mount-height", "0.2"]
    with run_sim(row.urdf, "--provider", provider, *arguments) as sim:
        assert f'robot="{row.urdf}", backend="ros2", tool_frame=\'gripper_frame_link\', mount_height=0.2)' in sim.shown
        with contextlib.closing(make_backend("ros2", robot, domain_id=sim.domain)) as backend:
            assert backend.link.provider.joints == robot.joint_names
            state = backend.reset(ONE, robot.home[None])
            target = np.clip(robot.home + 0.02 * robot.scale, robot.lower, robot.upper)
            for _ in range(20):
                state = backend.step(target[None])
            np.testing.assert_allclose(state.q[0], target, atol=1e-3)


@pytest.mark.gazebo11
@pytest.mark.parametrize("provider", ["mujoco", "gazebo"])
def test_a_window_shows_the_arm(provider: str, display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    with run_sim("scara", "--provider", provider, "--gui") as sim:
        with contextlib.closing(make_backend("ros2", make_robot("scara"), domain_id=sim.domain)) as backend:
            state, start = backend.reset(ONE, backend.robot.home[None]), time.monotonic()
            for _ in range(10):
                state = backend.step(state.q_setpoint)
            assert provider == "gazebo" or time.monotonic() - start > 0.4, "MuJoCo's window keeps real time"
        names = {child.name() for child in get_children(sim.process.pid)}
        assert provider != "gazebo" or any(name.startswith("gzclient") for name in names), names
        left = get_children(sim.process.pid)
        assert sim.end()[0] == 0
    assert not psutil.wait_procs(left, timeout=1)[1]


def test_ends_when_its_gzserver_dies_and_quotes_the_log() -> None:
    with run_sim("scara", "--provider", SIMULATOR) as sim:
        [server] = get_children(sim.process.pid)
        server.kill()
        error = sim.process.communicate(timeout=10)[1]
        assert sim.process.returncode == 1
        assert (
            error.startswith(f"gym-gazebo2 sim: {find_simulator(SIMULATOR).server_name} ended by signal SIGKILL")
            and "end of its log" in error
        )


def test_nothing_is_left_when_it_is_killed() -> None:
    with run_sim("scara", "--provider", SIMULATOR) as sim:
        left = get_children(sim.process.pid)
        sim.process.kill()
        start = time.monotonic()
        assert not psutil.wait_procs(left, timeout=5)[1], f"running after {time.monotonic() - start:.1f} s"


def test_describes_the_network_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    text = describe(make_robot("mara"), SimConfig(domain=3, real_time=True, factor=2.0, namespace="left"))
    assert "in real time, 2 ×. ROS domain 3, discovery SUBNET" in text and "/left/joint_states" in text
    assert 'gymnasium.make("MARA-v0", backend="ros2", backend_options={"namespace": "left"})' in text


def test_modes_on_the_command_line() -> None:
    assert parse([]) == parse(["--lock-step"]) == SimConfig()
    with pytest.raises(InvalidArgumentError, match="factor is -3.0, expected 1 without --real-time"):
        simulate(parse(["scara", "--factor", "-3"]))
    assert parse(["scara", "--real-time", "--factor", "0"]) == SimConfig("scara", real_time=True, factor=0.0)


def test_two_modes_at_once_are_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sim", "--lock-step", "--real-time"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["mra"], "Did you mean 'mara'"),
        (["--robot-only"], "robot_only is True"),
        (["--provider", "gazebo", "--robot-only"], "robot_only is True"),
        (["--gui"], "DISPLAY is not set. Start from a desktop session, or without --gui."),
        (["--provider", "gazebo", "--gui"], "DISPLAY is not set"),
        (["--domain", "102"], "from 0 to 101"),
        (["--control-dt", "0.0123"], "control_dt"),
    ],
)
def test_what_cannot_be_is_one_line(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["sim", *args]) == (1 if "DISPLAY" in said else 2)
    error = capsys.readouterr().err
    assert said in error and error.startswith("gym-gazebo2 sim: ")


def test_the_network_is_the_users_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SYSTEM_DEFAULT")
    with run_sim("scara") as sim:
        assert sim.shown and os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
