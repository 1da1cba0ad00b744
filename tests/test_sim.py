"""``gym-gazebo2 sim`` as a user runs it: what it says, how it ends, what it leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.backends import make_backend
from gym_gazebo2.cli import main
from gym_gazebo2.cli.simulating import parse
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.gazebo.serve import find_simulator
from gym_gazebo2.options import make_env_robot
from gym_gazebo2.robots import make_robot
from gym_gazebo2.sim import SimConfig, describe, simulate

from .arms import find_robots, make_row
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
        given = 'backend="ros2", tool_frame="gripper_frame_link", mount_height=0.2'
        assert f'gymnasium.make("Reach-v0", robot="{row.urdf}", {given})' in sim.shown
        with contextlib.closing(make_backend("ros2", robot, domain_id=sim.domain)) as backend:
            assert backend.link.provider.joints == robot.joint_names
            state = backend.reset(ONE, robot.home[None])
            target = np.clip(robot.home + 0.02 * robot.scale, robot.lower, robot.upper)
            for _ in range(20):
                state = backend.step(target[None])
            np.testing.assert_allclose(state.q[0], target, atol=1e-3)


def test_the_robot_is_that_of_the_environments_also_for_a_command_that_is_copied(tmp_path: Path) -> None:
    """Home, held joints, limits, xacro arguments and folders of packages, from a file with a relative path."""
    text = Path(make_row("tiago").urdf).read_text()
    text = text.replace("</robot>", '<xacro:arg name="wheel" default="unset"/></robot>').replace(
        "wheel_left_joint", "$(arg wheel)"
    )
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "my arm.xacro").write_text(text)
    home = [0.1, 1.0, -0.5, 0.0, 1.0, 0.0, 0.0, 0.0]
    options = {
        "xacro_args": {"wheel": "left_wheel"},
        "held": {"left_wheel": 0.5},
        "control_speed": 0.3,
        "package_dirs": [os.path.relpath(find_robots().parents[1], tmp_path / "here")],
    }
    words = [word for name, value in options.items() for word in (f"--env.robot_options.{name}", str(value))]
    words += ["--tool-frame", "arm_tool_link", "--mount-height", "0.2", "--env.home", str(home)]
    with run_sim("my arm.xacro", *words, cwd=tmp_path / "here") as sim:
        [python] = [line for line in sim.shown.splitlines() if "gymnasium.make" in line]
        options["package_dirs"] = [str(find_robots().parents[1])]
        keywords = {"tool_frame": "arm_tool_link", "mount_height": 0.2, "home": home, "robot_options": options}
        robot = make_env_robot(str(tmp_path / "here" / "my arm.xacro"), keywords)
        os.environ["ROS_DOMAIN_ID"] = str(sim.domain)
        with contextlib.closing(eval(python.partition("=")[2], {"gymnasium": gym})) as env:
            env.reset(seed=0)
            mine = env.unwrapped.core.robot
            assert mine.home.tolist() == home and mine.mount_height == 0.2 and mine.urdf == robot.urdf
            assert (mine.control_speed[1:] <= 0.3).all() and any("left_wheel at 0.5 rad" in text for text in mine.assumptions)
            np.testing.assert_allclose(env.unwrapped.core.arm.q[0], home, atol=1e-6)
        [shell] = [line.strip() for line in sim.shown.splitlines() if line.startswith("  gym-gazebo2 play")]
        command = f"{shlex.quote(sys.executable)} -m gym_gazebo2.cli {shell.removeprefix('gym-gazebo2 ')}"
        environment = {**os.environ, "ROS_DOMAIN_ID": str(sim.domain)}
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "Episode 0: 100 steps" in done.stdout, done.stderr


def test_a_keyword_that_is_not_the_robots_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "scara", "--env.goal", "[0,0,0]"]) == 2
    assert "There is no keyword of the robot 'goal'. Available: home, mount_height, robot_options" in capsys.readouterr().err
    assert main(["sim", "scara", "--env.robot_options.colour", "red"]) == 2
    assert "There is no field of robot_options 'colour'" in capsys.readouterr().err


def test_keywords_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"home": [0.0, -1.5], "robot_options": {"held": {"wheel": 0.5}, "srdf": "a b.srdf"}}
    held = ["--env.robot-options.held.wheel", "0.5", "--env.robot_options.srdf=a b.srdf"]
    assert parse(["scara", "--env.home", "[0.0,-1.5]", *held]).env_kwargs == expected
    assert parse(["--env.home=[0.0,-1.5]", "scara", *held]) == parse(["scara", *held, "--env.home=[0.0,-1.5]"])
    whole = "home=[0.0,-1.5] robot_options.held.wheel=0.5 'robot_options.srdf=a b.srdf'"
    assert parse(["scara", "--env", whole]).env_kwargs == expected and parse(["--env", ""]) == SimConfig()
    for wrong in (["--env.home"], ["--env", "home"], ["--env.a", "1", "--env.a.b", "2"], ["--env.a.b", "2", "--env.a", "1"]):
        with pytest.raises(SystemExit):
            parse(wrong)
        assert re.search("env is 'home=?', expected KEY=VALUE|Cannot set a", capsys.readouterr().err)


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
    assert """gymnasium.make("MARA-v0", backend="ros2", backend_options={'namespace': 'left'})""" in text


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
